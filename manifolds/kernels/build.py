"""Compile the C++ and CUDA kernels into a cache: seconds, once per source, compiler and target.

The sources (`csrc/*.cpp`, `csrc/*.cu`) are a torch-free C ABI, so one library serves every torch
version. Only the standard library is used here: the package's build hook loads this file by path.
"""

import contextlib
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

CSRC = Path(__file__).parent / "csrc"
BUNDLED = Path(__file__).parent / "bundled"
# fp-contract: fused multiply-adds; math-errno, trapping-math: sqrt, min and comparisons vectorise.
FLAGS = (
    "-O3",
    "-std=c++17",
    "-fPIC",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fvisibility=hidden",
)
# nvcc contracts multiply-adds by itself; a static runtime, because torch brings its own.
NVCC_FLAGS = ("-O3", "-std=c++17", "-cudart=static", "-Xcompiler=-fPIC,-fvisibility=hidden")
# What a wheel carries: binaries, and PTX of the last for what comes later.
ARCHITECTURES = ("80", "90", "100")
TIMEOUT = 1200  # seconds of one compiler call: seconds on a free machine, minutes on a busy one


class BuildError(RuntimeError):
    """No kernel library could be built; the text says why."""


@dataclass(frozen=True)
class Compiler:
    """A C++ compiler and the first line of its `--version`."""

    command: str
    version: str


def find_compiler() -> Compiler:
    """$CXX, else the first of g++, c++ and clang++ that runs.

    Raises:
        BuildError: none runs.
    """
    chosen = os.environ.get("CXX")
    return _first("C++ compiler", (chosen,) if chosen else ("g++", "c++", "clang++"))


def find_nvcc() -> Compiler:
    """$NVCC, else nvcc on the PATH, in $CUDA_HOME/bin, $CUDA_PATH/bin or /usr/local/cuda/bin.

    Raises:
        BuildError: none runs.
    """
    chosen = os.environ.get("NVCC")
    homes = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"]
    places = ["nvcc", *(str(Path(home) / "bin" / "nvcc") for home in homes if home)]
    return _first("CUDA compiler", (chosen,) if chosen else places)


def _first(what: str, names: Sequence[str]) -> Compiler:
    """The first of the commands that runs."""
    tried = []
    for name in names:
        command = shutil.which(name)
        if command is None:
            tried.append(f"{name} not found")
            continue
        try:
            done = subprocess.run(
                [command, "--version"], capture_output=True, text=True, timeout=30, check=True
            )
        except (OSError, subprocess.SubprocessError) as error:
            tried.append(f"{name} does not run ({error})")
            continue
        lines = done.stdout.strip().splitlines() or [""]
        return Compiler(command, lines[-1 if what.startswith("CUDA") else 0].strip())
    raise BuildError(f"no {what}: {', '.join(tried)}")


def source_hash(sources: Sequence[Path]) -> str:
    """Hash of names and contents of the sources and of every header beside them."""
    digest = hashlib.sha256()
    for path in sorted({*sources, *CSRC.glob("*.h")}):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def suffix() -> str:
    """Ending of a shared library here."""
    return {"darwin": ".dylib", "win32": ".dll"}.get(sys.platform, ".so")


def bundled(name: str, sources: Sequence[Path]) -> Path:
    """Where the wheel carries a library built from exactly these sources."""
    return BUNDLED / f"{name}-{source_hash(sources)}-{platform.machine()}{suffix()}"


def cache_folder() -> Path:
    """$MANIFOLDS_CACHE, or `manifolds` in the user's cache folder."""
    given = os.environ.get("MANIFOLDS_CACHE")
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "manifolds"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on a file, so that only one process builds."""
    try:
        import fcntl
    except ImportError:  # Windows: two builds at once cost time only, the rename is atomic
        yield
        return
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)


def run(commands: Sequence[Sequence[str]], folder: Path) -> None:
    """Runs compiler calls side by side.

    Raises:
        BuildError: one fails; with the last lines of its output.
    """
    # Ctrl-C in the terminal reaches the compilers too, and wait() below then raises.
    calls = []
    try:
        for index, command in enumerate(commands):
            log = open(folder / f"log{index}", "w+")
            calls.append((command, log, subprocess.Popen(command, stdout=log, stderr=log)))
        for command, log, call in calls:
            if call.wait(timeout=TIMEOUT) != 0:
                log.seek(0)
                lines = [line for line in log.read().splitlines() if line.strip()]
                errors = [line for line in lines if "error" in line] or lines[-3:]
                raise BuildError(f"{command[0]} failed: {'; '.join(errors[:3])}")
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"compiler did not run to its end: {error}") from error
    finally:
        for _, log, call in calls:
            if call.poll() is None:
                call.kill()
                call.wait()
            log.close()


def compile_cpp(
    compiler: Compiler,
    sources: Sequence[Path],
    target: Path,
    folder: Path,
    extra: Sequence[str] = (),
) -> None:
    """Objects side by side, then one shared library; with OpenMP where the compiler has it."""
    last: BuildError | None = None
    for openmp in (("-fopenmp",), ()):  # Apple's clang has none: one thread there
        objects = [str(folder / f"{source.stem}.o") for source in sources]
        flags = [*FLAGS, *openmp, *extra]
        try:
            run(
                [
                    [compiler.command, *flags, "-c", str(source), "-o", out]
                    for source, out in zip(sources, objects, strict=True)
                ],
                folder,
            )
            run([[compiler.command, "-shared", *openmp, *objects, "-o", str(target)]], folder)
            return
        except BuildError as error:
            last = last or error
    assert last is not None
    raise last


@dataclass(frozen=True)
class Built:
    """A library on disk: where it is, what made it, and the seconds this call spent building."""

    path: Path
    compiler: str
    seconds: float


def gencode(architectures: Sequence[str], *, ptx: bool = False) -> list[str]:
    """nvcc's options for binaries of these compute capabilities ("90"), and PTX of the last."""
    targets = [f"arch=compute_{a},code=sm_{a}" for a in architectures]
    if ptx:
        targets.append(f"arch=compute_{architectures[-1]},code=compute_{architectures[-1]}")
    names = [*(f"sm_{a}" for a in architectures), *(["ptx"] if ptx else [])]
    return [
        *(part for target in targets for part in ("-gencode", target)),
        f"-DGC_ARCHITECTURES={'+'.join(names)}",
    ]


def compile_cuda(
    compiler: Compiler,
    sources: Sequence[Path],
    target: Path,
    folder: Path,
    options: Sequence[str],
) -> None:
    """Objects side by side, then one shared library."""
    objects = [str(folder / f"{source.stem}.o") for source in sources]
    run(
        [
            [compiler.command, *NVCC_FLAGS, *options, "-c", str(source), "-o", out]
            for source, out in zip(sources, objects, strict=True)
        ],
        folder,
    )
    link = [compiler.command, "-shared", "-cudart=static", *options, *objects, "-o", str(target)]
    run([link], folder)


def cpp_sources() -> list[Path]:
    """Every source of the C++ library."""
    return sorted(CSRC.glob("*.cpp"))


def build_cpp(folder: Path | None = None, *, prebuilt: bool = True) -> Built:
    """The C++ library of `csrc/*.cpp`: bundled, cached or compiled now.

    Args:
        folder: the cache; `cache_folder()` if None.
        prebuilt: whether a bundled library will do.

    Raises:
        BuildError: no library, and none can be made; with the reason.
    """
    sources = cpp_sources()
    ready = bundled("cpp", sources)
    if prebuilt and ready.is_file():
        return Built(ready, "bundled with the package", 0.0)
    compiler = find_compiler()
    key = [source_hash(sources), compiler.command, compiler.version, *FLAGS, platform.machine()]

    def make(target: Path, work: Path) -> None:
        compile_cpp(compiler, sources, target, work)

    return cached("cpp", key, compiler.version, make, folder)


def cuda_sources() -> list[Path]:
    """Every source of the CUDA library."""
    return sorted(CSRC.glob("*.cu"))


def build_cuda(
    architectures: Sequence[str] = (), folder: Path | None = None, *, prebuilt: bool = True
) -> Built:
    """The CUDA library of `csrc/*.cu`: bundled, cached or compiled now.

    Args:
        architectures: compute capabilities without the dot, such as "90"; those of `ARCHITECTURES`
            and PTX if empty.
        folder: the cache; `cache_folder()` if None.
        prebuilt: whether a bundled library will do.

    Raises:
        BuildError: no library, and none can be made; with the reason.
    """
    sources = cuda_sources()
    ready = bundled("cuda", sources)
    if prebuilt and ready.is_file():
        return Built(ready, "bundled with the package", 0.0)
    compiler = find_nvcc()
    options = gencode(architectures) if architectures else gencode(ARCHITECTURES, ptx=True)
    identity = [source_hash(sources), compiler.command, compiler.version, platform.machine()]

    def make(target: Path, work: Path) -> None:
        compile_cuda(compiler, sources, target, work, options)

    return cached("cuda", [*identity, *NVCC_FLAGS, *options], compiler.version, make, folder)


def cached(
    name: str,
    identity: Sequence[str],
    version: str,
    make: Callable[[Path, Path], None],
    folder: Path | None = None,
) -> Built:
    """The library `name` of this identity from the cache, made by one process if it isn't there.

    Args:
        identity: all that the library depends on.
        version: the compiler's.
        make: (file, folder for work) -> None.

    Raises:
        BuildError: it can't be made, or the cache folder can't be used.
    """
    key = f"{name}-{hashlib.sha256(chr(10).join(identity).encode()).hexdigest()[:16]}"
    folder = folder or cache_folder()
    start = time.monotonic()
    try:
        found = whole(folder, key)
        if found is not None:
            return Built(found, version, 0.0)
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / f"{key}.lock"):
            found = whole(folder, key)
            if found is None:
                with tempfile.TemporaryDirectory(dir=folder) as work:
                    made = Path(work) / f"made{suffix()}"
                    make(made, Path(work))
                    found = folder / f"{key}-{content_hash(made)}{suffix()}"
                    os.replace(made, found)
    except OSError as error:
        raise BuildError(
            f"cache folder {folder} is not usable ({error}); set MANIFOLDS_CACHE"
        ) from error
    return Built(found, version, time.monotonic() - start)


def content_hash(path: Path) -> str:
    """Hash of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def whole(folder: Path, key: str) -> Path | None:
    """The library of a key whose bytes are those its name says: to load a damaged one can end the
    process.
    """
    for path in sorted(folder.glob(f"{key}-*{suffix()}")):
        if path.stem.rpartition("-")[2] == content_hash(path):
            return path
    return None
