"""The scaling study: its plan, what a stopped one keeps, and that its page says what was found."""

import importlib.util
import json
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest

from geomclip.errors import RequestError
from geomclip.results import Variant
from geomclip.statistics import estimate

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "experiments" / "scaling"


def script(name: str) -> ModuleType:
    """A program of the folder, which finds its neighbours as when it is run."""
    spec = importlib.util.spec_from_file_location(f"scaling_{name}", FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(FOLDER))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(FOLDER))
    return module


scaling, page = script("scaling"), script("page")


@pytest.fixture(scope="module")
def runs():
    return scaling.cells(scaling.read_grid(scaling.GRID))


def test_a_cell_differs_from_its_neighbours_in_what_is_studied_alone(runs):
    grid = scaling.read_grid(scaling.GRID)
    assert [run.seed for run in runs] == sorted(run.seed for run in runs)  # seeds outermost
    assert len({scaling.key(scaling.settings(run.config)) for run in runs}) == len(runs)
    variants = {run.variant for run in runs}
    assert len(runs) == len(grid.places) * len(variants) * grid.seeds
    assert {Variant("clip"), Variant("meru"), Variant("meru", 1.0)} <= variants
    for run in runs:
        config, factor = run.config, math.sqrt(run.config.batch_size / grid.batches[0])
        assert config.steps * config.batch_size == grid.pairs
        assert config.lr == pytest.approx(factor * grid.overrides["lr"])
    # Towers, data, augmentation and captions of all cells are the same.
    assert len({(r.config.model.image, r.config.model.text, r.config.data) for r in runs}) == 1
    assert len({(r.config.augment, r.config.captions) for r in runs}) == 1


def test_pairs_have_to_be_whole_batches():
    grid = scaling.read_grid(scaling.GRID)
    with pytest.raises(RequestError, match="1000 pairs are no whole number of batches of 128"):
        scaling.dataclasses.replace(grid, pairs=1000)


def line_of(run, **metrics):
    return {
        "geometry": run.variant.geometry, "entailment": run.variant.entailment, "seed": run.seed,
        "dim": run.config.model.embed_dim, "batch_size": run.config.batch_size,
        "step": run.config.steps, "train_cpu_seconds": 2.0, "evaluation_cpu_seconds": 1.0,
        "metrics": {f"heldout_rendition/{name}": value for name, value in metrics.items()},
        "settings": scaling.settings(run.config),
    }  # fmt: skip


def test_finished_cells_are_not_run_again_and_a_cut_off_line_is(runs, tmp_path):
    record, made = tmp_path / "grid.jsonl", []

    def do(run):
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(run.name)
        return line_of(run, i2t_r1=len(made) / 10)

    with pytest.raises(KeyboardInterrupt):
        scaling.complete(runs[:5], record, do)
    kept = record.read_bytes().splitlines(keepends=True)
    assert len(kept) == 3
    record.write_bytes(b"".join(kept[:2]) + kept[2][:40])  # killed while writing the third
    made.clear()
    lines = scaling.complete(runs[:5], record, do)
    assert made == [run.name for run in runs[2:5]]
    assert [line["settings"] for line in lines] == [scaling.settings(r.config) for r in runs[:5]]
    assert [json.loads(text) for text in record.read_text().splitlines()] == lines
    made.clear()
    assert scaling.complete(runs[:5], record, do) == lines and not made


@pytest.mark.slow
def test_a_cell_trains_and_is_evaluated(tmp_path):
    grid = scaling.dataclasses.replace(
        scaling.read_grid(scaling.GRID), geometries=["meru"], entailment=[1.0], dims=[2],
        batches=[16], dim=2, seeds=1, pairs=32,
    )  # fmt: skip
    (line,) = scaling.complete(scaling.cells(grid), tmp_path / "grid.jsonl")
    assert line["step"] == 2 and line["dim"] == 2
    assert {f"{page.SPLIT}/{name}" for name in (*page.MAIN, *page.CONES)} <= line["metrics"].keys()


def test_a_difference_is_bold_when_neither_seeds_nor_items_give_it():
    low, high = estimate([0.20, 0.21, 0.22], 1000), estimate([0.40, 0.41, 0.42], 1000)
    assert page.difference(high, low, "i2t_r10").startswith("**+20.0 ± ")
    assert page.difference(low, high, "i2t_r10").startswith("**−20.0 ± ")
    near = estimate([0.22, 0.23, 0.24], 1000)
    # Seeds tell them apart, a thousand pictures do not: 1.96 sqrt(2) 0.0130 = 3.6 points.
    assert page.difference(near, low, "i2t_r10") == "+2.0 ± 3.6"
    assert page.cell(low, "i2t_r10", 3) == "21.0 ± 1.0"
    assert page.cell(low, "i2t_r10", 5) == "21.0 ± 1.0 (n = 3)"


def test_the_page_and_its_plots_are_those_of_the_results():
    study = page.Study(scaling.read_metrics(FOLDER / "scaling.jsonl"), page.items())
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.rendered(text, study) == text
    for name, picture in page.drawn(study).items():
        assert (page.IMAGES / name).read_text(encoding="utf-8") == picture
        assert f"(images/{name})" in text
