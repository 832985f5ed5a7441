"""The gallery: its pages run, print what stands in them, and find what theory says."""

import math
import re
import runpy
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
import torch

ROOT = Path(__file__).parents[1]
GALLERY = ROOT / "docs" / "gallery"
NUMBER = re.compile(r"\d+\.\d+|\d+")


@pytest.fixture(scope="module")
def ran() -> Any:
    """(page as written, page as it runs now, names its code leaves) by page."""
    run = runpy.run_path(str(ROOT / "experiments" / "gallery" / "make.py"))["run"]
    cache: dict[str, tuple[str, str, dict[str, Any]]] = {}

    def of(name: str) -> tuple[str, str, dict[str, Any]]:
        if name not in cache:
            threads = torch.get_num_threads()
            torch.set_num_threads(1)
            jaxtyping.config.update("jaxtyping_disable", True)  # half of the time here
            written = (GALLERY / f"{name}.md").read_text(encoding="utf-8")
            cache[name] = (written, *run(written, f"{name}.md"))
            torch.set_num_threads(threads)
            jaxtyping.config.update("jaxtyping_disable", False)
        return cache[name]

    return of


def outputs(page: str) -> list[str]:
    return re.findall(r"```text\n(.*?)```", page, re.DOTALL)


def test_every_page_is_listed_and_has_its_figure():
    figures = re.findall(
        r'^    "(\w+)": ', (ROOT / "experiments/gallery/figures.py").read_text(), re.M
    )
    pages = {p.stem for p in GALLERY.glob("*.md")} - {"index"}
    assert pages == set(figures)
    index = (GALLERY / "index.md").read_text(encoding="utf-8")
    for name in pages:
        assert f"\n{name}\n" in index
        text = (GALLERY / f"{name}.md").read_text(encoding="utf-8")
        assert f"({name}.svg)" in text and outputs(text)
        assert (GALLERY / f"{name}.svg").stat().st_size < 100_000


@pytest.mark.slow
@pytest.mark.parametrize("name", ["frechet_mean", "classification", "tree"])
def test_pages_print_what_stands_in_them(name, ran):
    written, now, _ = ran(name)
    for old, new in zip(outputs(written), outputs(now), strict=True):
        assert NUMBER.sub("#", old).split() == NUMBER.sub("#", new).split()
        # Training amplifies the last digit, in which processors differ.
        numbers = zip(NUMBER.findall(old), NUMBER.findall(new), strict=True)
        for a, b in numbers:
            assert float(a) == pytest.approx(float(b), rel=0.1, abs=0.02), (old, new)


@pytest.mark.slow
def test_the_frechet_mean_finds_mu_as_fast_as_the_central_limit_theorem_says(ran):
    space = ran("frechet_mean")[2]
    for name, errors in space["errors"].items():
        # 400 means of two coordinates: the root mean square is known to 2.5 %.
        for n, error, predicted in zip(
            space["counts"], errors, space["predicted"][name], strict=True
        ):
            assert error == pytest.approx(predicted, rel=0.1 if n > 10 else 0.15), (name, n)


@pytest.mark.slow
def test_classifiers_tell_the_subtrees(ran):
    space = ran("classification")[2]
    for name, model in space["models"].items():
        assert space["accuracy"](model, *space["test"]) > 0.95, name
        assert space["accuracy"](model, space["x"], space["label"]) == 1.0 or "log" in name


@pytest.mark.slow
def test_distortion_falls_with_dimension_and_curvature(ran):
    space = ran("tree")[2]
    plane, ball = space["plane"], space["space"]
    mean = {}
    for m in (plane, ball):
        for dim in (2, 5):
            mean[m.name, dim] = space["distortion"](m, space["embed"](m, dim))[0]
        assert mean[m.name, 5] < 0.8 * mean[m.name, 2]
    for dim in (2, 5):
        assert mean[ball.name, dim] < 0.6 * mean[plane.name, dim]


def sarkar() -> dict[str, Any]:
    """The names of the tree page up to the construction, whose loop prints a table."""
    blocks = re.findall(r"```python\n(.*?)```", (GALLERY / "tree.md").read_text(), re.DOTALL)
    space: dict[str, Any] = {}
    exec(blocks[0] + blocks[1].partition("\nball = ")[0], space)
    return space


def test_sarkars_tree_is_as_exact_as_its_edges_are_long():
    """The worst distortion stays below that of the infinite tree, and goes to 1."""
    from manifolds import PoincareBall

    space, ball = sarkar(), PoincareBall(c=1.0).double()
    worst = []
    for edge in (2.0, 4.0, 6.0):
        x = space["sarkar"](ball, edge)
        parents = torch.tensor(space["parent"][1:])
        assert (ball.dist(x[1:], x[parents]) - edge).abs().max() < 1e-6
        worst.append(space["distortion"](ball, x)[1])
        assert 1 < worst[-1] < space["bound"](edge)
    assert worst == sorted(worst, reverse=True) and worst[-1] < 1.05
    # log 3 is where the path that turns the same way closes: its advance is 0.
    assert math.cosh(math.log(3) / 2) * math.sin(math.pi / 3) == pytest.approx(1)
    assert space["bound"](1.0) == math.inf
