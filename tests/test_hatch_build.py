"""The build hook takes compiled kernels along where it can, and never fails an install."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from manifolds.kernels import build, library

ROOT = Path(__file__).parents[1]


@pytest.fixture
def hook(monkeypatch):
    """A hook without its builder: hatchling exists only while pip builds."""

    class Interface:
        def __init__(self) -> None:
            self.root = str(ROOT)
            self.warnings: list[str] = []
            self.notes: list[str] = []
            self.app = SimpleNamespace(
                display_warning=self.warnings.append, display_info=self.notes.append
            )

    names = "hatchling.builders.hooks.plugin.interface".split(".")
    for i in range(len(names)):
        monkeypatch.setitem(sys.modules, ".".join(names[: i + 1]), ModuleType(names[i]))
    sys.modules[".".join(names)].BuildHookInterface = Interface
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.KernelHook()


@pytest.mark.skipif(library.load() is None, reason=f"no C++ kernels: {library.missing()}")
def test_a_wheel_carries_the_library_where_load_looks(hook, monkeypatch):
    monkeypatch.setenv("NVCC", "no-such-compiler")
    data = {"force_include": {}}
    hook.initialize("standard", data)
    ((source, target),) = data["force_include"].items()
    assert Path(source).is_file()
    assert ROOT / target == build.bundled("cpp", build.cpp_sources())
    assert data["pure_python"] is False and data["tag"].startswith("py3-none-")
    assert hook.warnings == []
    (note,) = hook.notes
    assert note.endswith("no CUDA compiler: no-such-compiler not found")


@pytest.mark.slow
@pytest.mark.skipif(library.load() is None, reason=f"no C++ kernels: {library.missing()}")
def test_a_wheel_carries_cuda_where_nvcc_is(hook):
    try:
        build.find_nvcc()
    except build.BuildError as reason:
        pytest.skip(str(reason))
    data = {"force_include": {}}
    hook.initialize("standard", data)
    _, (source, target) = data["force_include"].items()
    assert Path(source).is_file() and hook.notes == []
    assert ROOT / target == build.bundled("cuda", build.cuda_sources())


@pytest.mark.parametrize("version", ["standard", "editable"])
def test_no_compiler_is_a_warning(hook, version, monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("MANIFOLDS_CACHE", str(tmp_path))
    data = {"force_include": {}}
    hook.initialize(version, data)
    assert data == {"force_include": {}}
    (warning,) = hook.warnings
    assert (
        warning == "no compiled kernels in this build: no C++ compiler: no-such-compiler not found"
    )
