"""The compiled kernels as ctypes libraries, one seam for host and device, and which path is live.

    MANIFOLDS_KERNELS = auto | torch | cpp | cuda

"auto" takes what exists, and torch where nothing does; the others force one path, and forcing a
missing one is an error. "cpp" forces the CPU's kernels and leaves a GPU's to what exists, "cuda"
the other way round. A library is built or loaded at first use. Functions take raw pointers, int64
sizes and double scalars, and return 0 or a status; both libraries export the same ones.
"""

import ctypes
import os
import threading
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from manifolds.kernels import build
from manifolds.kernels.build import BuildError, Built, build_cpp

ABI_VERSION = 4
CHOICES = ("auto", "torch", "cpp", "cuda")


class KernelError(RuntimeError):
    """A kernel path was forced and does not exist, or a kernel reported a failure."""


class Place(ctypes.Structure):
    """struct Place of csrc/grid.h: scratch memory and stream of a call."""

    _fields_ = (
        ("work", ctypes.c_void_p),
        ("bytes", ctypes.c_int64),
        ("stream", ctypes.c_void_p),
    )


@dataclass(frozen=True)
class Library:
    """A loaded library, for tensors of one device."""

    handle: ctypes.CDLL
    isa: str
    built: Built
    device: torch.device
    grid: bool = False
    """Kernels on a grid of threads: calls return before the work is done, counts of close pairs
    stay on the device, and the library computes close pairs by itself."""

    def call(self, name: str, *arguments: Any, block: tuple[int, int, int] | None = None) -> None:
        """Calls a function of the C ABI: tensors as pointers, int as int64, float as double.

        ctypes objects (byref of a structure) go through as they are.

        Args:
            block: rows, columns and features it works on, where kernels on a grid need scratch
                memory.

        Raises:
            KernelError: its status is not 0.
        """
        function = getattr(self.handle, name)
        values = [_convert(a) for a in arguments]
        if self.grid:
            status = self._launch(function, values, block)
        else:
            status = function(*values, ctypes.c_int64(threads()))
        if status != 0:
            raise KernelError(f"{name}: {self._error(status)}")

    def _launch(self, function: Any, values: list[Any], block: tuple[int, int, int] | None) -> int:
        size = 0 if block is None else self.handle.manifolds_work(*map(ctypes.c_int64, block))
        # The allocator gives the memory to nobody else before this stream has come past the call.
        work = torch.empty(size, dtype=torch.uint8, device=self.device)
        place = Place(work.data_ptr(), size, None)
        if self.device.type != "cuda":
            return function(*values, ctypes.byref(place))
        with torch.cuda.device(self.device):
            place.stream = torch.cuda.current_stream(self.device).cuda_stream
            return function(*values, ctypes.byref(place))

    def _error(self, status: int) -> str:
        if not self.grid:
            return f"the kernel library returned status {status}"
        return self.handle.manifolds_error(status).decode()


def _convert(value: Any) -> Any:
    if isinstance(value, Tensor):
        return ctypes.c_void_p(value.data_ptr())
    if isinstance(value, float):
        return ctypes.c_double(value)
    if value is None:
        return ctypes.c_void_p(None)
    return ctypes.c_int64(value) if isinstance(value, int) else value


_lock = threading.Lock()
_state: dict[str, Library | str] = {}


def choice() -> str:
    """The value of MANIFOLDS_KERNELS.

    Raises:
        ValueError: it is none of `CHOICES`.
    """
    value = os.environ.get("MANIFOLDS_KERNELS") or "auto"
    if value not in CHOICES:
        raise ValueError(
            f"MANIFOLDS_KERNELS: expects one of {', '.join(CHOICES)}, got {value!r}; unset it"
        )
    return value


def open_library(built: Built, *, grid: bool = False) -> Library:
    """Loads and checks a built library; its device is the CPU.

    Raises:
        BuildError: it does not load, or has another ABI version.
    """
    # torch has loaded its OpenMP by now, and the library binds to that copy.
    try:
        handle = ctypes.CDLL(str(built.path))
        version = handle.manifolds_abi_version()
        handle.manifolds_isa.restype = ctypes.c_char_p
        isa = handle.manifolds_isa().decode()
        if grid:
            handle.manifolds_work.restype = ctypes.c_int64
            handle.manifolds_error.restype = ctypes.c_char_p
    except (OSError, AttributeError) as error:
        raise BuildError(f"library {built.path} does not load: {error}") from error
    if version != ABI_VERSION:
        raise BuildError(f"library {built.path} has ABI {version}, expected {ABI_VERSION}")
    return Library(handle, isa, built, torch.device("cpu"), grid)


def _open_any() -> Library:
    built = build_cpp()
    try:
        return open_library(built)
    except BuildError:
        if built.path.parent != build.BUNDLED:
            raise
        # A wheel from elsewhere may carry a library that does not load here.
        return open_library(build_cpp(prebuilt=False))


def load() -> Library | None:
    """The C++ library, built at first use; None where there is none (`missing` says why)."""
    with _lock:
        if "cpp" not in _state:
            try:
                _state["cpp"] = _open_any()
            except BuildError as error:
                _state["cpp"] = str(error)
        state = _state["cpp"]
    return state if isinstance(state, Library) else None


def missing() -> str | None:
    """Why `load` gives None, or None if it gives a library."""
    load()
    state = _state["cpp"]
    return state if isinstance(state, str) else None


def cpu() -> Library | None:
    """The library that computes on the CPU, None for the torch path; obeys MANIFOLDS_KERNELS.

    Raises:
        KernelError: MANIFOLDS_KERNELS=cpp and there is no library, or =cuda and no device has one.
    """
    chosen = choice()
    if chosen == "torch":
        return None
    if chosen == "cuda":
        from manifolds.kernels import device

        device.cuda(torch.device("cuda"))
    library = load()
    if library is None and chosen == "cpp":
        raise KernelError(f"MANIFOLDS_KERNELS=cpp: {missing()}; install g++ or set $CXX")
    return library


def of(x: Tensor) -> Library | None:
    """The library that computes on float32 tensors of this one's device, None for the torch path.

    Raises:
        KernelError: MANIFOLDS_KERNELS forces a path that does not exist.
    """
    if x.device.type == "cpu":
        return cpu()
    if x.device.type != "cuda":
        return None
    from manifolds.kernels import device  # not before there is a device

    return device.cuda(x.device)


def live() -> str:
    """One line on the path that computes on the CPU, for `geomclip info`."""
    chosen = choice()
    if chosen == "torch":
        return "torch: MANIFOLDS_KERNELS=torch"
    try:
        library = cpu()
    except KernelError as error:
        return f"none: {error}"
    if library is None:
        return f"torch: {missing()}"
    return f"cpp {ABI_VERSION} {library.isa}, {library.built.compiler}"


def threads() -> int:
    """Threads a kernel may use: torch's."""
    return torch.get_num_threads()
