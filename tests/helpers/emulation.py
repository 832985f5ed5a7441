"""The CUDA kernels compiled by g++ over an emulated grid, for machines without a GPU.

The same sources (`csrc/*.cu`), the same C ABI, and tensors of the CPU; only the launches and a
thread's own instructions (`csrc/grid.h`) are others, in `tests/manifolds/kernels/emulator.h`.
"""

import platform
from functools import cache
from pathlib import Path

from manifolds.kernels import build, library

SOURCES = Path(__file__).parents[1] / "manifolds" / "kernels"


@cache
def emulated() -> library.Library | str:
    """The library, or why there is none."""
    try:
        compiler = build.find_compiler()
        sources = [*build.cuda_sources(), SOURCES / "emulator.cpp"]
        header = (SOURCES / "emulator.h").read_text()
        options = ["-x", "c++", f"-I{SOURCES}", f"-I{build.CSRC}", "-U_FORTIFY_SOURCE", "-O2"]

        def make(target: Path, work: Path) -> None:
            build.compile_cpp(compiler, sources, target, work, options)

        parts = [build.source_hash(sources), header, compiler.version, platform.machine()]
        return library.open_library(build.cached("grid", parts, compiler.version, make), grid=True)
    except build.BuildError as reason:
        return str(reason)
