"""Building, caching and loading the library, and saying which path is live."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from manifolds.kernels import build, library

needs_compiler = pytest.mark.skipif(
    library.load() is None, reason=f"no C++ kernels: {library.missing()}"
)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A library of one file, so that a build takes a moment; and a cache of its own."""
    folder = tmp_path / "csrc"
    folder.mkdir()
    for name in ("abi.h", "cpu.cpp"):
        (folder / name).write_bytes((build.CSRC / name).read_bytes())
    monkeypatch.setattr(build, "CSRC", folder)
    monkeypatch.setattr(build, "BUNDLED", tmp_path / "bundled")
    monkeypatch.setenv("MANIFOLDS_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def fresh(monkeypatch):
    """As if nothing had been loaded."""
    monkeypatch.setattr(library, "_state", {})


@needs_compiler
def test_builds_once_and_then_finds_it(small):
    first = build.build_cpp()
    assert first.seconds > 0 and first.path.is_file()
    assert build.build_cpp() == build.Built(first.path, first.compiler, 0.0)
    loaded = library.open_library(first)
    assert loaded.isa
    left = {p.suffix for p in first.path.parent.iterdir()}
    assert left == {build.suffix(), ".lock"}


@needs_compiler
def test_another_source_is_another_library(small):
    first = build.build_cpp()
    (small / "abi.h").write_text((small / "abi.h").read_text() + "// changed\n")
    assert build.build_cpp().path != first.path


@needs_compiler
def test_processes_that_start_together_build_once(small, tmp_path):
    """Compilers that take a second leave a mark each: however many wait, one builds."""
    compiler, calls = build.find_compiler(), tmp_path / "calls"
    fake = tmp_path / "slow-g++"
    fake.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] || {{ echo $$ >> {calls}; sleep 1; }}\n'
        f'exec {compiler.command} "$@"\n'
    )
    fake.chmod(0o755)
    program = (
        "import importlib.util, pathlib, sys\n"
        f"spec = importlib.util.spec_from_file_location('build', {build.__file__!r})\n"
        "build = sys.modules['build'] = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(build)\n"
        f"build.CSRC = pathlib.Path({str(small)!r})\n"
        "print(build.build_cpp(prebuilt=False).path)\n"
    )
    environment = os.environ | {"CXX": str(fake)}
    command = [sys.executable, "-c", program]
    both = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    found = {process.communicate(timeout=300)[0] for process in both}
    assert len(found) == 1 and Path(found.pop().strip()).is_file()
    assert len(calls.read_text().split()) == 2  # one source, one link


@needs_compiler
@pytest.mark.parametrize("damage", ["empty", "cut", "overwritten"])
def test_a_damaged_library_is_built_again(small, damage):
    """Loading a shorter one would end the process with a bus error."""
    made = build.build_cpp()
    good = made.path.read_bytes()
    half = len(good) // 2
    bad = {"empty": b"", "cut": good[:half], "overwritten": good[:half] + b"\0" * half}[damage]
    made.path.write_bytes(bad)
    again = build.build_cpp()
    assert again.seconds > 0 and again.path.read_bytes() != bad
    assert library.open_library(again).isa
    assert build.build_cpp().seconds == 0


@needs_compiler
def test_a_cache_that_has_the_library_is_only_read(small):
    made = build.build_cpp()
    folder = made.path.parent
    for path in folder.glob("*.lock"):
        path.unlink()
    folder.chmod(0o555)
    before = {path: path.stat().st_mtime_ns for path in (folder, *folder.iterdir())}
    try:
        assert build.build_cpp().path == made.path
    finally:
        folder.chmod(0o755)
    assert before == {path: path.stat().st_mtime_ns for path in (folder, *folder.iterdir())}


@needs_compiler
def test_threads_that_start_together_build_once(small, monkeypatch):
    calls, results = [], []
    compile_cpp = build.compile_cpp
    monkeypatch.setattr(
        build, "compile_cpp", lambda *a, **k: (calls.append(1), compile_cpp(*a, **k))
    )
    threads = [threading.Thread(target=lambda: results.append(build.build_cpp())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert len({r.path for r in results}) == 1 and len(results) == 4


@needs_compiler
def test_a_bundled_library_needs_no_compiler(small, monkeypatch):
    made = build.build_cpp()
    ready = build.bundled("cpp", sorted(small.glob("*.cpp")))
    ready.parent.mkdir()
    ready.write_bytes(made.path.read_bytes())
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert build.build_cpp() == build.Built(ready, "bundled with the package", 0.0)


@needs_compiler
def test_a_bundled_library_that_does_not_load_is_built_here(small, fresh):
    ready = build.bundled("cpp", sorted(small.glob("*.cpp")))
    ready.parent.mkdir()
    ready.write_bytes(b"from another machine")
    assert library.load().built.path.parent == build.cache_folder()


@needs_compiler
def test_a_source_that_does_not_compile_says_so(small, fresh, monkeypatch):
    (small / "broken.cpp").write_text("int f( { return 1; }\n")
    with pytest.raises(build.BuildError, match=r"failed: .*broken\.cpp:1"):
        build.build_cpp()
    calls, compile_cpp = [], build.compile_cpp
    monkeypatch.setattr(build, "compile_cpp", lambda *a: (calls.append(1), compile_cpp(*a)))
    assert library.load() is None and "broken.cpp" in library.missing()
    assert len(calls) == 1  # it would not get better


@needs_compiler
def test_a_library_of_another_abi_is_refused(small):
    text = (small / "cpu.cpp").read_text()
    own = f"manifolds_abi_version() {{ return {library.ABI_VERSION}; }}"
    assert own in text
    (small / "cpu.cpp").write_text(text.replace(own, "manifolds_abi_version() { return 999; }"))
    with pytest.raises(build.BuildError, match=f"has ABI 999, expected {library.ABI_VERSION}"):
        library.open_library(build.build_cpp())


def test_no_compiler_is_no_error_until_it_is_forced(small, fresh, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.delenv("MANIFOLDS_KERNELS", raising=False)
    assert library.load() is None and library.cpu() is None
    assert library.live() == "torch: no C++ compiler: no-such-compiler not found"
    monkeypatch.setenv("MANIFOLDS_KERNELS", "cpp")
    with pytest.raises(library.KernelError, match=r"MANIFOLDS_KERNELS=cpp: no C\+\+ compiler"):
        library.cpu()
    assert library.live().startswith("none: MANIFOLDS_KERNELS=cpp: no C++ compiler")


def test_a_compiler_that_does_not_run_is_named(tmp_path, monkeypatch):
    fake = tmp_path / "fake-g++"
    fake.write_text("#!/bin/sh\nexit 3\n")
    fake.chmod(fake.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("CXX", str(fake))
    with pytest.raises(build.BuildError, match="does not run"):
        build.find_compiler()


@needs_compiler
@pytest.mark.skipif(os.name != "posix", reason="needs a path below a file")
def test_a_cache_that_can_not_be_written_is_named(small, tmp_path, fresh, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MANIFOLDS_CACHE", str(tmp_path / "file" / "cache"))
    assert library.load() is None
    assert "not usable" in library.missing() and "MANIFOLDS_CACHE" in library.missing()


def test_the_cache_is_the_users(monkeypatch):
    monkeypatch.delenv("MANIFOLDS_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/some/where")
    assert build.cache_folder() == Path("/some/where/manifolds")


def test_the_environment_is_checked(monkeypatch):
    monkeypatch.setenv("MANIFOLDS_KERNELS", "fast")
    with pytest.raises(ValueError, match="expects one of auto, torch, cpp, cuda, got 'fast'"):
        library.choice()
    monkeypatch.setenv("MANIFOLDS_KERNELS", "")  # as a shell unsets for one command
    assert library.choice() == "auto"
    monkeypatch.setenv("MANIFOLDS_KERNELS", "torch")
    assert library.cpu() is None
    assert library.live() == "torch: MANIFOLDS_KERNELS=torch"


@needs_compiler
def test_the_live_path_names_instructions_and_compiler(monkeypatch):
    monkeypatch.setenv("MANIFOLDS_KERNELS", "auto")
    loaded = library.load()
    assert library.live() == f"cpp {library.ABI_VERSION} {loaded.isa}, {loaded.built.compiler}"


@needs_compiler
def test_a_failing_kernel_raises():
    with pytest.raises(AttributeError):
        library.load().call("manifolds_no_such_function")
