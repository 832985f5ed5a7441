"""Link prediction on WordNet: splits, scores, masks, a small tree, resuming, the page."""

import dataclasses
import gzip
import importlib
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from geomclip.errors import RequestError
from geomclip.hierarchy import Hierarchy
from manifolds import Euclidean, Lorentz, UpperHalfSpace

FOLDER = Path(__file__).parents[1] / "experiments" / "wordnet"


@pytest.fixture(scope="module", autouse=True)
def folder():
    """The programs find each other as when they are run."""
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path.remove(str(FOLDER))


def script(name):
    return importlib.import_module(name)


def binary_tree(levels, tops=2):
    """Binary trees with a top each; one node has parents in two of them."""
    edges = []
    for top in range(tops):
        level = [f"{top}"]
        for _ in range(levels - 1):
            below = [name + side for name in level for side in "ab"]
            edges += [(name, name[:-1]) for name in below]
            level = below
    edges.append(("0aa", "1a"))
    return Hierarchy.from_edges(edges, title="test tree")


def test_a_split_keeps_its_promises():
    splits = script("splits")
    h = binary_tree(5)
    n = len(h)
    closure = set(splits.keys(h.closure[:, ::-1], n).tolist())
    basic = set(splits.keys(h.reduced().edges[:, ::-1], n).tolist())
    by_percent = {p: splits.draw_split(h, p, seed=3) for p in (0, 25, 90)}
    for percent, s in by_percent.items():
        train, valid, test = (
            splits.keys(edges, n).tolist() for edges in (s.train, s.valid, s.test)
        )
        assert len({*train, *valid, *test}) == len(train) + len(valid) + len(test)
        assert set(train[: len(s.basic)]) == basic and not basic & {*valid, *test}
        assert len(valid) == len(test) == round(0.05 * (len(closure) - len(basic)))
        assert len(train) - len(basic) == round(percent / 100 * (len(closure) - len(basic)))
        for positive, negative in ((s.valid, s.valid_negatives), (s.test, s.test_negatives)):
            assert not closure & set(splits.keys(negative, n).tolist())
            assert (negative[:, 0] != negative[:, 1]).all()
            rows = negative.reshape(len(positive), 10, 2)
            assert (rows[:, :5, 0] == positive[:, None, 0]).all()
            assert (rows[:, 5:, 1] == positive[:, None, 1]).all()
    # More edges are trained on, the same are held out.
    few, many = by_percent[25], by_percent[90]
    assert (few.test == many.test).all() and (few.valid_negatives == many.valid_negatives).all()
    assert (many.train[: len(few.train)] == few.train).all()
    assert not np.array_equal(splits.draw_split(h, 25, seed=4).test, few.test)


def test_a_single_top_is_left_out_and_flat_trees_are_refused():
    splits = script("splits")
    top = Hierarchy.from_edges([("a", "top"), ("b", "top"), ("c", "a")])
    assert set(splits.without_top(top).names) == {"a", "b", "c"}
    with pytest.raises(RequestError, match="5 % of which is none"):
        splits.draw_split(top, 50, 0)
    with pytest.raises(RequestError, match="from 0 to 90"):
        splits.draw_split(top, 95, 0)


def test_published_files_are_read_and_what_they_lack_is_drawn(tmp_path):
    splits = script("splits")
    h = splits.without_top(Hierarchy.read("mammals"))
    s = splits.draw_split(Hierarchy.read("mammals"), 10, 0)
    stem = splits.STEMS["mammals"]

    def put(name, lines):
        (tmp_path / f"{stem}.{name}.gz").write_bytes(gzip.compress("\n".join(lines).encode()))

    put("vocab", [f"{i}\t{name}" for i, name in enumerate(h.names)])
    parts = {
        "train_0percent": s.basic, "train_10percent": s.train[::-1], "valid": s.valid,
        "valid_neg": s.valid_negatives, "test": s.test, "test_neg": s.test_negatives,
    }  # fmt: skip
    for name, edges in parts.items():
        put(name, [f"{a}\t{b}" for a, b in edges])
    found = splits.read_split(tmp_path, "mammals", 10)
    assert found.origin == "published" and found.draw is None
    assert (found.test_negatives == s.test_negatives).all() and (found.basic == s.basic).all()
    assert set(map(tuple, found.train)) == set(map(tuple, s.train))
    drawn = splits.read_split(tmp_path, "mammals", 50, 7)
    assert drawn.origin == "published valid and test, own training draw" and drawn.draw == 7
    held = {*map(tuple, s.valid), *map(tuple, s.test)}
    closure = set(map(tuple, h.closure[:, ::-1]))
    train = set(map(tuple, drawn.train))
    assert len(train) == len(drawn.train) and train <= closure - held
    assert len(train) - len(s.basic) == round((len(closure) - len(s.basic)) / 2)
    with pytest.raises(RequestError, match=r"no file noun_closure.tsv.vocab"):
        splits.read_split(tmp_path, "nouns", 0)


def test_the_umbral_score_is_the_distance_to_the_shadow_of_the_ball():
    shadow = script("shadow")
    radius = 0.3
    m = UpperHalfSpace().double()
    torch.manual_seed(0)
    x = torch.tensor([[0.5, 2.0]], dtype=torch.float64)
    y = torch.stack([torch.randn(300), torch.rand(300) * 4 + 0.01], 1).double()
    score = shadow.umbral_score(x.expand_as(y), y, radius)
    inside = (y[:, 0] - 0.5).abs() + y[:, 1] * math.sinh(radius) <= 2 * math.sinh(radius)
    assert ((score > 0) == inside).all() and 20 < inside.sum() < 280
    # The cone's boundary, whose points hold their balls to the wall, from the apex down.
    t = 2 * torch.logspace(0, -4, 4000, dtype=torch.float64)
    h = math.sinh(radius) * (2 - t)
    edge = torch.cat([torch.stack([0.5 + h, t], 1), torch.stack([0.5 - h, t], 1)])
    nearest = m.pairwise_dist(y, edge).min(1).values
    torch.testing.assert_close(score.abs(), nearest, rtol=0, atol=2e-3)
    above = torch.tensor([[0.5, 5.0]], dtype=torch.float64)
    assert shadow.umbral_score(x, above, radius).item() == pytest.approx(-math.log(2.5), abs=1e-9)


def test_pairwise_scores_are_the_exact_ones():
    shadow, models = script("shadow"), script("cones_models")
    torch.manual_seed(0)
    x, y = 0.6 * torch.randn(30, 4), torch.randn(40, 4)
    left, right = x.repeat_interleave(40, 0), y.repeat(30, 1)
    for m in (Lorentz(), Euclidean()):
        exact = m.half_aperture(left, 0.2) - m.exterior_angle(left, right)
        found = models.pairwise_cone_score(m, x, y, 0.2).flatten()
        torch.testing.assert_close(found, exact, rtol=0, atol=1e-3)
    x, y = (m.random_normal(k, 4) for m, k in ((UpperHalfSpace().double(), n) for n in (30, 40)))
    x, y = x.double(), y.double()
    exact = shadow.umbral_score(x.repeat_interleave(40, 0), y.repeat(30, 1), 0.1).float()
    found = shadow.pairwise_umbral_score(x, y, 0.1).flatten()
    torch.testing.assert_close(found, exact, rtol=1e-4, atol=1e-4)


def test_the_mask_is_who_is_above_whom_in_training():
    train = script("cones_train")
    edges = np.array([[0, 1], [0, 2], [1, 2], [3, 4], [0, 4]])
    known = train.Edges(edges, 6).known(torch.tensor([4, 0, 1]), torch.tensor([2, 5, 4, 0]))
    assert known.tolist() == [
        [False, False, True, False],
        [True, False, True, True],
        [True, False, False, False],
    ]


@pytest.mark.parametrize("model", ["umbral", "hyperbolic"])
def test_a_tree_is_learned(model):
    splits, train = script("splits"), script("cones_train")
    split = splits.draw_split(binary_tree(6), 50, 0)
    shape = 0.1
    s = train.Settings(model, 3, shape, init="tree", epochs=12, batch=32, negatives=24)
    found = train.run(split, s)
    # Everything called positive has 2/12 = 0.17.
    assert found["valid_f1"] > 0.5 and found["test_f1"] > 0.5
    assert found["parameters"]["model"] == model


def test_of_several_starts_the_best_on_validation_is_tested():
    splits, train = script("splits"), script("cones_train")
    split = splits.draw_split(binary_tree(6), 50, 0)
    s = train.Settings("umbral", 2, 0.1, epochs=2, batch=64, negatives=8)
    single = [train.run(split, dataclasses.replace(s, seed=seed)) for seed in (0, 1000, 2000)]
    found = train.run(split, dataclasses.replace(s, restarts=3))
    assert found["valid_f1_of_starts"] == [one["valid_f1"] for one in single]
    best = max(single, key=lambda one: one["valid_f1"])
    same = ("valid_f1", "test_f1", "threshold")
    assert [found[k] for k in same] == [best[k] for k in same]
    assert "restarts" not in s.to_dict() and found["parameters"]["restarts"] == 3


def test_a_finished_run_is_kept_and_shown(tmp_path, capsys, monkeypatch):
    cones, page = script("cones"), script("cones_page")
    tree = tmp_path / "tree.csv"
    h = binary_tree(4)
    names = [f"{h.names[a]},{h.names[b]}" for a, b in h.edges]
    tree.write_text("\n".join(["child,parent", *names]))
    command = ["--data", str(tree), "--dim", "2", "--model", "umbral", "--seeds", "0,1"]
    command += ["--epochs", "1", "--quiet", "--out", str(tmp_path / "runs")]
    assert cones.main(command) == 0
    printed = capsys.readouterr().out
    assert printed.count("test F1") == 2 and "split: own" in printed

    def never(*args):
        raise AssertionError("trained again")

    monkeypatch.setattr(cones, "train_run", never)
    assert cones.main(command) == 0 and capsys.readouterr().out == printed
    lines = cones.gather(tmp_path / "runs", tmp_path / "record.jsonl")
    assert lines == cones.gather(tmp_path / "runs", tmp_path / "record.jsonl")
    for line, value in zip(lines, (0.5, 0.6), strict=True):
        line["settings"]["data"], line["test_f1"] = "mammals", value
    text = "".join(f"<!-- cones-{d}:begin --><!-- cones-{d}:end -->" for d in ("mammals", "nouns"))
    (tmp_path / "page.md").write_text(text)
    page.write(lines, tmp_path / "page.md")
    shown = (tmp_path / "page.md").read_text()
    assert "Umbral cones, half-space | - | - | - | 55.0 ± 7.1 | 2 |" in shown
    assert "| 57.7 | 73.7 | 77.4 | 80.3 |" in shown and "No run of this table" in shown


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--percent", "95"], "--percent 95: percentages go from 0 to 90"),
        (["--table", "planets"], "--table planets: there is none"),
        (["--hard", "2"], "--hard 2: a share"),
        (["--dim", "1"], "--dim 1: at least 2"),
        (["--splits", "nowhere"], "nowhere: no file mammal_closure.tsv.vocab"),
    ],
)
def test_a_wrong_request_is_one_line(arguments, what, capsys):
    assert script("cones").main([*arguments, "--quiet"]) == 2
    error = capsys.readouterr().err
    assert what in error and "Traceback" not in error


def test_every_model_has_options_for_every_table():
    cones, models = script("cones"), script("cones_models")
    for table in ("marks", "mammals", "nouns"):
        for cell in cones.cells_of(table):
            for nodes in (1_000, 100_000):
                assert cones.settings(cell, nodes, 0, {}).model in models.MODELS
    case = next(c for c in cones.cells_of("nouns") if c.percent == 0)
    assert cones.settings(case, 100_000, 0, {}).hard == 0
    assert cones.settings(case, 100_000, 0, {"hard": 0.25}).hard == 0.25
