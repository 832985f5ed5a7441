"""The CUDA kernels of the devices that torch sees, built for them at first use."""

import dataclasses
import threading

import torch

from manifolds.kernels.build import BuildError, Built, build_cuda, bundled, cuda_sources
from manifolds.kernels.library import ABI_VERSION, KernelError, Library, choice, open_library

_lock = threading.Lock()
_state: dict[int, Library | str] = {}


def load(device: torch.device) -> Library | None:
    """The library for a CUDA device, built at first use; None where there is none (`missing`)."""
    index = _index(device)
    with _lock:
        if index not in _state:
            try:
                _state[index] = _open(index)
            except (BuildError, KernelError) as error:
                _state[index] = str(error)
        state = _state[index]
    return state if isinstance(state, Library) else None


def missing(device: torch.device) -> str | None:
    """Why `load` gives None, or None if it gives a library."""
    load(device)
    state = _state[_index(device)]
    return state if isinstance(state, str) else None


def cuda(device: torch.device) -> Library | None:
    """The library that computes on a CUDA device, None for the torch path.

    Raises:
        KernelError: MANIFOLDS_KERNELS=cuda and there is no library.
    """
    chosen = choice()
    if chosen == "torch":
        return None
    library = load(device)
    if library is None and chosen == "cuda":
        way = "install the CUDA toolkit or set $NVCC"
        if not torch.cuda.is_available():
            way = "unset it, or install torch for CUDA beside a GPU"
        raise KernelError(f"MANIFOLDS_KERNELS=cuda: {missing(device)}; {way}")
    return library


def live() -> str:
    """One line on the path that computes on CUDA devices, for `geomclip info`."""
    if choice() == "torch":
        return "torch: MANIFOLDS_KERNELS=torch"
    if not torch.cuda.is_available():
        return "none: torch sees no CUDA device"
    device = torch.device("cuda", torch.cuda.current_device())
    library = load(device)
    if library is None:
        return f"torch: {missing(device)}"
    return f"cuda {ABI_VERSION} {library.isa}, {library.built.compiler}"


def _index(device: torch.device) -> int:
    if device.index is not None:
        return device.index
    return torch.cuda.current_device() if torch.cuda.is_available() else 0


def _open(index: int) -> Library:
    if torch.version.cuda is None:
        raise BuildError("this torch is built without CUDA")
    if not torch.cuda.is_available():
        raise BuildError("torch sees no CUDA device")
    capabilities = {torch.cuda.get_device_capability(i) for i in range(torch.cuda.device_count())}
    architectures = [f"{major}{minor}" for major, minor in sorted(capabilities)]
    device = torch.device("cuda", index)
    if bundled("cuda", cuda_sources()).is_file():
        try:
            return _checked(build_cuda(architectures), device)
        except (BuildError, KernelError):
            pass  # a wheel from elsewhere may carry a library that does not run here
    return _checked(build_cuda(architectures, prebuilt=False), device)


def _checked(built: Built, device: torch.device) -> Library:
    """The library for a device, once one of its kernels has been launched there."""
    library = dataclasses.replace(open_library(built, grid=True), device=device)
    x = torch.ones(1, 1, device=device)
    library.call("manifolds_row_norms", 1, 1, x, 1, torch.empty_like(x, dtype=torch.float64))
    return library
