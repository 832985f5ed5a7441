"""The CUDA sources compile for every architecture without a warning, without spills, and within a
budget of registers; no GPU is needed.
"""

import re
import subprocess

import pytest

from manifolds.kernels import build, library


def missing() -> str:
    try:
        build.find_nvcc()
        build.find_compiler()  # which nvcc calls
        return ""
    except build.BuildError as reason:
        return str(reason)


pytestmark = pytest.mark.skipif(missing() != "", reason=missing())

# What runs over every pair: at least 5 blocks of 128 threads on a multiprocessor. All others work
# on single rows or pairs in float64: what the launch bounds (grid.h) allow.
BUDGET = {"Forward": 80, "Backward": 104, "Logits": 80, "Reduce": 80, "Slopes": 80, "Merge": 80}
LAUNCH_BOUND = 128
ENTRY = re.compile(
    r"Compiling entry function '(?P<name>\w+)' for '(?P<target>\w+)'.*?"
    r"(?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads.*?"
    r"Used (?P<registers>\d+) registers",
    re.DOTALL,
)


@pytest.mark.parametrize(
    "architecture",
    [a if a == "90" else pytest.param(a, marks=pytest.mark.slow) for a in build.ARCHITECTURES],
)
def test_registers_and_spills(architecture, tmp_path):
    kernels = 0
    for source in build.cuda_sources():
        done = subprocess.run(
            [build.find_nvcc().command, "-cubin", "-O3", "-std=c++17", f"-arch=sm_{architecture}",
             "-Werror", "all-warnings", "-Xptxas", "-v,-Werror",
             str(source), "-o", str(tmp_path / "kernels.cubin")],
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        for entry in ENTRY.finditer(done.stderr):
            name, registers = entry["name"], int(entry["registers"])
            assert entry["target"] == f"sm_{architecture}"
            assert entry["stores"] == entry["loads"] == "0", f"{source.name}: {name} spills"
            own = [limit for kernel, limit in BUDGET.items() if re.search(rf"\d{kernel}[IE]", name)]
            limit = own[0] if own else LAUNCH_BOUND
            assert registers <= limit, f"{source.name}: {name} takes {registers} of {limit}"
            kernels += 1
    assert kernels >= 50  # every kernel of every kind was seen


@pytest.mark.slow
def test_the_wheels_library_builds_and_loads(tmp_path):
    """Host code without a warning too; binaries of all architectures and PTX; the same functions
    as the C++ library, so that one driver serves both.
    """
    sources, target = build.cuda_sources(), tmp_path / "cuda.so"
    options = [*build.gencode(build.ARCHITECTURES, ptx=True), "-Werror", "all-warnings"]
    build.compile_cuda(build.find_nvcc(), sources, target, tmp_path, options)
    loaded = library.open_library(build.Built(target, "", 0.0), grid=True)
    assert loaded.isa == "sm_80+sm_90+sm_100+ptx"
    exports = re.compile(r"^GC_EXPORT \w+(?: char)?\*? ?(manifolds_\w+)\(", re.MULTILINE)
    host = {name for s in build.cpp_sources() for name in exports.findall(s.read_text())}
    for name in host - {"manifolds_large_pages"}:
        assert getattr(loaded.handle, name), name
