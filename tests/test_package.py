"""The distribution: what is in it, and that it works where there is no checkout."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import geomclip

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def run(*command: str | Path, **options: object) -> str:
    """A program in an environment that knows nothing of the checkout; its output."""
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "COLUMNS")}
    # Compiling CUDA takes minutes and is tests/test_hatch_build.py's matter.
    env |= {"NVCC": "no-such-compiler", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, env=env, **options
    )
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory) -> Path:
    """The source distribution of this tree."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", out, cwd=ROOT)
    (path,) = out.glob("*.tar.gz")
    return path


@pytest.fixture(scope="module")
def wheel(sdist) -> Path:
    """The wheel that is built of the source distribution, as pip builds it."""
    with tarfile.open(sdist) as tar:
        tar.extractall(sdist.parent, filter="data")
    source = sdist.parent / sdist.name.removesuffix(".tar.gz")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", sdist.parent, cwd=source)
    (path,) = sdist.parent.glob("*.whl")
    return path


def test_the_version_is_one_and_semantic():
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", PROJECT["version"])
    assert geomclip.__version__ == PROJECT["version"]
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"\nversion: {PROJECT['version']}\n" in citation


def test_lower_bounds_are_the_minimal_set():
    """constraints-min.txt, which `make test-min` installs, is what pyproject.toml promises."""
    promised = {}
    for line in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]]:
        name, _, version = line.partition(">=")
        promised[name] = version
    lines = (ROOT / "constraints-min.txt").read_text("utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if "==" in line)
    # torch stays on the release of constraints.txt, the one with a plain CPU build.
    assert pinned.pop("torch") in (ROOT / "constraints.txt").read_text("utf-8")
    promised.pop("torch")
    assert pinned == promised


def test_the_sources_are_whole(sdist):
    with tarfile.open(sdist) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    for needed in ("README.md", "LICENSE", "hatch_build.py", "constraints.txt", "docs/conf.py"):
        assert needed in names
    assert not [n for n in names if n.startswith((".venv", "runs/")) or "__pycache__" in n]


def test_the_wheel_holds_code_data_kernels_and_licences(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = [n for n in names if n.endswith(".dist-info/METADATA")]
        text = archive.read(metadata).decode()
    for package in ("geomclip", "manifolds"):
        assert f"{package}/py.typed" in names
        here = {str(p.relative_to(ROOT)) for p in (ROOT / package).rglob("*") if p.is_file()}
        skipped = {n for n in here if "__pycache__" in n or "/bundled/" in n}
        assert here - skipped <= names
    assert {n.split("/")[0] for n in names} == {
        "geomclip", "manifolds", metadata.split("/")[0]
    }  # fmt: skip
    assert len([n for n in names if "/licenses/" in n]) >= len(PROJECT["license-files"])
    assert f"Version: {PROJECT['version']}\n" in text and "Requires-Python: >=3.11" in text


@pytest.mark.slow
def test_a_fresh_environment_has_all_it_needs(wheel, tmp_path):
    """The wheel alone in a new environment, outside of the checkout, compares three geometries.

    The other packages are lent by this environment; geomclip and manifolds are the wheel's.
    """
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", wheel)
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    # A path in a .pth file is added as it is: the editable install's own .pth is not read.
    Path(site, "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")

    where = "import geomclip, manifolds; print(geomclip.__file__); print(manifolds.__file__)"
    assert all(site in line for line in run(python, "-c", where, cwd=tmp_path).splitlines())
    command = python.parent / "geomclip"
    assert run(command, "--version", cwd=tmp_path) == f"geomclip {PROJECT['version']}\n"
    info = json.loads(run(command, "info", "--json", cwd=tmp_path))
    assert info["geomclip"] == PROJECT["version"]

    out = tmp_path / "out"
    run(command, "compare", "--minutes", "0.2", "--out", out, cwd=tmp_path)  # a few steps each
    results = json.loads((out / "results.json").read_text("utf-8"))
    assert (out / "report.html").stat().st_size > 1_000_000 and results
    rows = (out / "results.csv").read_text("utf-8").splitlines()
    geometries = {row.partition(",")[0] for row in rows[1:]}
    assert geometries == {"clip", "euclip", "meru"}
