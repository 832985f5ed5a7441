"""The paper's comparison: its plan, what a stopped one keeps, its figures, and that its page says
what was found."""

import dataclasses
import importlib
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from geomclip.comparison.cells import settings
from geomclip.errors import Interrupted, RequestError
from manifolds import Euclidean, Lorentz

FOLDER = Path(__file__).parents[1] / "experiments" / "paper"
NAMES = ("grid", "study", "tables", "claims", "cell", "figures", "page", "paper")


@pytest.fixture(scope="module")
def scripts():
    """The programs of the folder, which find their neighbours as when they are run."""
    kept = {name: sys.modules.pop(name) for name in NAMES if name in sys.modules}
    sys.path.insert(0, str(FOLDER))
    try:
        yield {name: importlib.import_module(name) for name in NAMES}
    finally:
        sys.path.remove(str(FOLDER))
        for name in NAMES:
            sys.modules.pop(name, None)
        sys.modules.update(kept)


@pytest.fixture(scope="module")
def runs(scripts):
    grid = scripts["grid"]
    return grid.plan(grid.read_grid(FOLDER / "paper.toml"))


def made(scripts, run, **metrics):
    """A finished cell as `paper.run` keeps it."""
    line = json.loads((FOLDER / "paper.jsonl").read_text().splitlines()[0])
    return line | {
        "name": scripts["grid"].name_of(run), "geometry": run.variant.geometry,
        "entailment": run.variant.entailment, "seed": run.seed,
        "final_layernorm": run.config.model.final_layernorm, "settings": settings(run.config),
        "metrics": {f"heldout_rendition/{name}": value for name, value in metrics.items()},
    }  # fmt: skip


def test_cells_differ_in_what_is_studied_alone(scripts, runs):
    grid = scripts["grid"]
    # 8 geometries without entailment and the 6 that have cones with it, LayerNorm, seeds.
    assert len(runs) == len({grid.name_of(run) for run in runs}) == (8 + 6) * 2 * 3
    assert [run.seed for run in runs] == sorted(run.seed for run in runs)
    same = ("data", "captions", "augment", "steps", "batch_size", "precision", "weight_decay")
    for name in same:
        assert len({getattr(run.config, name) for run in runs}) == 1, name
    assert len({(r.config.model.image, r.config.model.text) for r in runs}) == 1
    small, full = (grid.read_grid(FOLDER / f"{name}.toml") for name in ("paper", "full"))
    assert dataclasses.replace(full, steps=small.steps, overrides=small.overrides) == small


def test_a_stopped_comparison_goes_on_and_another_is_refused(scripts, tmp_path, monkeypatch):
    paper, grid, begun, told = scripts["paper"], scripts["grid"], [], []

    def train_cell(run, more, folder):
        if len(begun) == 2:
            raise KeyboardInterrupt
        begun.append(grid.name_of(run))
        return made(scripts, run, i2t_r10=0.2)

    monkeypatch.setattr("geomclip.comparison.cells.train_cell", train_cell)
    planned = dataclasses.replace(
        grid.read_grid(FOLDER / "paper.toml"), geometries=["clip"], seeds=2
    )
    args = [tmp_path, "clip-*seed0,clip-seed1", 9.0, told.append]
    with pytest.raises(KeyboardInterrupt):
        paper.run(planned, *args)
    assert begun == ["clip-seed0", "clip-no-final-ln-seed0"]
    assert told[0].startswith("1 of 3: clip-seed0: ") and told[0].endswith(" minutes left")
    before = {p: p.read_bytes() for p in (tmp_path / "cells").iterdir()}
    assert {p.name for p in before} == {f"{name}.json" for name in begun}
    begun.clear()
    paper.run(planned, *args)
    assert begun == ["clip-seed1"]
    assert all(path.read_bytes() == data for path, data in before.items())
    begun.clear()
    paper.run(planned, *args)
    assert not begun
    with pytest.raises(RequestError, match=r"clip-seed0.json was trained .* steps is 9, was 256"):
        paper.run(dataclasses.replace(planned, steps=9), *args)
    (tmp_path / "cells" / "clip-seed1.json").write_text("{")
    with pytest.raises(RequestError, match=r"clip-seed1.json is no finished cell"):
        paper.run(planned, *args)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--only", "clip-seed7"], '--only: no cell is called "clip-seed7"'),
        (["--grid", "no.toml"], "no.toml: No such file or directory"),
        (["--data", "no.csv"], "no.csv"),
        (["--steps", "0"], "steps is 0"),
        (["--seeds", "0"], "seeds is 0"),
        (["--batch-size", "0"], "batch_size must be positive, got 0"),
        (["--label-columns", "kind"], "settings of data of your own. Give --data PATH."),
        (["--page"], "has none of the 84 cells: no page to write"),
        (["--docs", "--data", "no.csv"], "--docs is for the grids beside this file"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(scripts, args, said, tmp_path, capsys):
    assert scripts["paper"].main([*args, "--out", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("paper.py: ") and said in line
    assert not list(tmp_path.iterdir())


def test_data_of_the_command_line_are_those_of_compare(scripts):
    paper = scripts["paper"]
    words = "--data a.csv --data b.csv --label-columns group kind --skip-bad --batch-size 32"
    grid = paper.asked(*paper.parsed(words.split()))
    for run in scripts["grid"].plan(grid)[:3]:
        data = run.config.data
        assert data.source == "a.csv::b.csv" and data.label_columns == ("group", "kind")
        assert data.skip_bad and run.config.batch_size == 32
        assert run.config.model.image.width == 16  # the grid's


def test_no_page_is_written_of_cells_with_other_data(scripts, runs, tmp_path, capsys):
    """Figure 3 would show the pictures of one set above what another was trained on."""
    paper = scripts["paper"]
    (tmp_path / "cells").mkdir()
    line = made(scripts, runs[0], i2t_r10=0.2)
    paper.file_of(tmp_path, line["name"]).write_text(json.dumps(line))
    assert paper.main(["--page", "--data", "other.csv", "--out", str(tmp_path)]) == 2
    assert "data.source is 'other.csv', was the default" in capsys.readouterr().err
    assert not (tmp_path / "paper.md").exists()


def test_claims_follow_the_numbers(scripts, runs):
    study, claims = scripts["study"], scripts["claims"]
    chosen = [r for r in runs if r.variant.geometry in ("clip", "euclip")]

    def sentence(shift, seeds):
        lines = [
            made(scripts, r, zeroshot_group_acc=0.4 + 0.005 * r.seed
                 + shift * (r.variant.geometry == "euclip"))
            for r in chosen if r.seed < seeds
        ]  # fmt: skip
        return claims.claims(study.Study(lines, len(runs))).splitlines()[0]

    assert "Agrees: of 3 differences 3 are positive" in sentence(0.1, 3)
    assert "Does not agree: of 3 differences 3 are negative" in sentence(-0.1, 3)
    assert "Nothing against it: of 3 differences none" in sentence(0.01, 3)
    # 10 points are beyond what 1,462 other pictures change, and one seed says no more.
    assert "All rest on one seed" in sentence(0.1, 1)


@pytest.mark.parametrize("m", [Euclidean(), Lorentz(c=1.0).double()], ids=["flat", "curved"])
def test_figure_1_draws_the_borders_of_cones(scripts, m):
    x = torch.tensor([0.3, -0.5], dtype=torch.float64)
    found = scripts["figures"].rays(m, x, 0.1, 2.0)[:, 1:]
    angle = m.exterior_angle(x.expand_as(found), found)
    aperture = m.half_aperture(x, 0.1).expand(64)
    torch.testing.assert_close(angle[0], aperture, rtol=0, atol=1e-9)
    torch.testing.assert_close(angle[-1], aperture, rtol=0, atol=1e-9)
    assert (angle[1:-1] < aperture).all()
    length = torch.linspace(0, 2.0, 65, dtype=x.dtype)[1:].expand(33, 64)
    torch.testing.assert_close(m.dist(x.expand_as(found), found), length, rtol=1e-9, atol=1e-9)


def test_the_page_and_its_figures_are_those_of_the_cells(scripts):
    page = scripts["page"]
    text, pictures = page.documentation()
    assert page.PAGE.read_text(encoding="utf-8") == text
    for name, picture in pictures.items():
        assert (page.IMAGES / name).read_text(encoding="utf-8") == picture
        assert f"(images/{name})" in text


@pytest.fixture
def small(scripts, tmp_path):
    """A grid on data without labels."""
    from PIL import Image

    rows = ["filepath,caption"]
    for i in range(40):
        Image.new("RGB", (16, 16), (6 * i, 90, 200 - 5 * i)).save(tmp_path / f"{i}.png")
        rows.append(f"{i}.png,a picture of number {i}")
    (tmp_path / "shoes.csv").write_text("\n".join(rows) + "\n")
    return dataclasses.replace(
        scripts["grid"].read_grid(FOLDER / "paper.toml"), geometries=["clip", "meru"], seeds=1,
        steps=2, final_layernorm=[True],
        data={"source": str(tmp_path / "shoes.csv"), "val_fraction": 0.4},
        overrides={
            "batch_size": 8, "log_every": 1, "model": {"image": {"image_size": 16, "width": 8}},
        },
    )  # fmt: skip


@pytest.mark.slow
def test_a_cell_of_data_without_labels_has_what_the_figures_need(scripts, small, tmp_path):
    paper, grid, page = scripts["paper"], scripts["grid"], scripts["page"]
    out = tmp_path / "out"
    paper.run(small, out, "", 9.0, lambda text: None)
    lines = paper.read_cells(out, [grid.name_of(r) for r in grid.plan(small)])
    assert [line["name"] for line in lines] == ["clip-seed0", "meru-seed0", "meru-ent0.2-seed0"]
    page.write(lines, 3, out, grid.plan(small)[0].config.data)
    text = (out / "paper.md").read_text()
    assert "3 of 3 cells are finished" in text and "Retrieval, mean R@10" in text
    assert "Zero-shot" not in text.partition("## Without entailment")[2].partition("##")[0]
    assert all((out / "images" / name).is_file() for name in page.FIGURES)


@pytest.mark.slow
def test_a_cell_that_was_stopped_goes_on_where_it_was(scripts, small, tmp_path):
    paper, long = scripts["paper"], dataclasses.replace(small, steps=40)
    out, begun = tmp_path / "out", tmp_path / "out" / "begun" / "clip-seed0"

    def stop():
        path = begun / "metrics.jsonl"  # empty until the first step is done
        while not (path.is_file() and path.stat().st_size):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(
        Interrupted, match=r"stopped by SIGINT at step \d+ of 40\n  The same command"
    ):
        paper.run(long, out, "clip-seed0", 9.0, lambda text: None)
    thread.join()
    assert list((begun / "checkpoints").iterdir()) and not (out / "cells").exists()
    for folder in (out, tmp_path / "whole"):
        paper.run(long, folder, "clip-seed0", 9.0, lambda text: None)
    assert not list((out / "begun").iterdir())
    stopped, whole = (
        json.loads((f / "cells" / "clip-seed0.json").read_text()) for f in (out, tmp_path / "whole")
    )
    for line in (stopped, whole):
        for name in ("train_cpu_seconds", "evaluation_cpu_seconds", "step_cpu_seconds"):
            del line[name]
    assert stopped == whole
