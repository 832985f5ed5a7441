"""The house rules of CONTRIBUTING.md that a machine can check."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "geoopt", "plotly", "scipy", "webdataset", "transformers", "PIL", "tokenizers")


def imports(path: Path, *, top_level_only: bool = False) -> set[str]:
    """Modules that a file imports, in full."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level_only else ast.walk(tree)
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
    return found


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def roots(path: Path, **options: bool) -> set[str]:
    return {name.partition(".")[0] for name in imports(path, **options)}


@pytest.mark.parametrize("path", sources("manifolds"), ids=lambda p: str(p.relative_to(ROOT)))
def test_manifolds_know_nothing_above_them(path):
    third_party = roots(path) - set(sys.stdlib_module_names)
    # The measurement of accuracy, a program of its own, has a reference and peers beside.
    measuring = {"mpmath", "hypll", "rich"} if "accuracy" in path.parts else set()
    assert third_party <= {"torch", "geoopt", "numpy", "jaxtyping", "manifolds"} | measuring


def test_the_toolkit_does_not_load_the_measurement_of_its_accuracy():
    code = (
        "import sys, manifolds; print([m for m in sys.modules if 'accuracy' in m or 'mpmath' in m])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", sources("geomclip"), ids=lambda p: str(p.relative_to(ROOT)))
def test_geomclip_imports_downward_and_heavy_libraries_late(path):
    assert "experiments" not in roots(path)
    late = {
        "plotly",
        "scipy",
        "webdataset",
        "transformers",
        "PIL",
        "tokenizers",
        "jinja2",
        "sklearn",
    }
    assert not late & roots(path, top_level_only=True)
    if "cli" not in path.parts:
        assert not any(name.startswith("geomclip.cli") for name in imports(path)) or (
            path.name == "__main__.py"
        )


@pytest.mark.parametrize("module", ["geomclip", "geomclip.train.config", "geomclip.cli.main"])
def test_the_command_line_and_the_configuration_load_no_torch(module):
    code = (
        f"import sys, {module}; print([m for m in {HEAVY!r} if m in sys.modules]);"
        "import geomclip; geomclip.GeomclipError; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "False"]


def test_every_public_name_resolves():
    import geomclip

    for name in geomclip.__all__:
        assert getattr(geomclip, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = geomclip.nonsense


def test_every_test_folder_mirrors_a_source_folder():
    mirrored = {"manifolds", "browser", "helpers", "gpu", "."}
    for folder in (ROOT / "tests").rglob("*"):
        if folder.is_dir() and not folder.name.startswith(("__", ".")):
            name = str(folder.relative_to(ROOT / "tests"))
            assert name in mirrored or (ROOT / "geomclip" / name).is_dir() or (ROOT / name).is_dir()
