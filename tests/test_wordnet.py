"""The WordNet study: what a small tree's points learn, what a stopped study keeps, bad requests."""

import dataclasses
import importlib
import json
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from geomclip import evaluate
from geomclip.errors import GeomclipError, RequestError
from geomclip.hierarchy import Hierarchy
from geomclip.losses import ranking_loss

FOLDER = Path(__file__).parents[1] / "experiments" / "wordnet"
NAMES = ("graph", "store", "near", "training", "plan", "page", "reconstruct")
sys.path.insert(0, str(FOLDER))
try:
    graph, store, near, training, plan, page, reconstruct = map(importlib.import_module, NAMES)
finally:
    sys.path.remove(str(FOLDER))
    # Other studies have a page.py too.
    for name in NAMES:
        sys.modules.pop(name, None)


def tree() -> Hierarchy:
    """60 nodes, two of them with two parents."""
    rng = np.random.default_rng(0)
    parents = [[]] + [[int(rng.integers(0, (i + 1) // 2))] for i in range(1, 60)]
    parents[40].append(parents[40][0] + 1)
    parents[59].append(30)
    return Hierarchy.from_parents([f"n{i}" for i in range(60)], parents)


@pytest.fixture
def csv(tmp_path):
    path = tmp_path / "labels.csv"
    rows = [(f"n{c}", f"n{p}") for c, p in tree().edges]
    path.write_text("child,parent\n" + "\n".join(map(",".join, rows)) + "\n")
    return path


def test_masks_are_the_closure():
    h = tree()
    ancestors = graph.Ancestors(h)
    nodes, others = torch.tensor([59, 0, 40, 7]), torch.tensor([3, 0, 30, 59, 1])
    for _ in range(2):  # the table of places is left as it was found
        mask = ancestors.mask(nodes, others).numpy()
        assert np.array_equal(mask, h.above.toarray()[nodes][:, others])
    assert ancestors.of(nodes).tolist() == sorted(
        {int(a) for node in nodes for a in h.ancestors(int(node))}
    )
    assert ancestors.count.tolist() == [len(h.ancestors(i)) for i in range(len(h))]


def test_depth_first_order_keeps_subtrees_together():
    h = Hierarchy.from_parents(list("abcdef"), [[], [0], [0], [1], [2], [1, 2]])
    assert graph.depth_first(h).tolist() == [0, 1, 3, 5, 2, 4]


def test_a_small_tree_is_learned_from_random_points():
    h = tree()
    settings = training.Settings(
        "lorentz", 4, epochs=30, batch=20, burn_in=0.5, lr=0.3, negatives=60, last_negatives=60
    )
    trained = training.train(h, settings)
    found = evaluate.reconstruct(trained.geometry.manifold, trained.points, h.above)
    assert found.map > 0.9 and found.mean_rank < 1.5
    again = training.train(h, dataclasses.replace(settings, epochs=1))
    assert torch.equal(
        again.points, training.train(h, dataclasses.replace(settings, epochs=1)).points
    )


def test_the_nearest_wrong_nodes_are_those_of_all_distances():
    h = tree()
    ancestors = graph.Ancestors(h)
    asked = ancestors.count.nonzero()[:, 0]
    torch.manual_seed(0)
    for name in training.MANIFOLDS:
        manifold = training.space(training.Settings(name, 3)).manifold
        points = manifold.random_normal(60, 3 + (name in ("sphere", "product")), std=2.0)
        rivals = near.Rivals(ancestors, 7, 5)
        rivals.look(manifold, points)
        far = manifold.pairwise_dist(points, points).fill_diagonal_(torch.inf)
        far[torch.from_numpy(h.above.toarray())] = torch.inf
        expected = far.topk(7, largest=False).indices.sort(1).values
        assert torch.equal(rivals.nearest[asked].sort(1).values, expected[asked])
    others, wrong = rivals.of(asked)
    right = torch.from_numpy(h.above.toarray())[asked].gather(1, others) | (
        others == asked[:, None]
    )
    assert torch.equal(wrong, ~right) and others.shape == (59, 12)
    few = near.Rivals(ancestors, 100, 5)
    few.look(manifold, points)  # as many as every node has
    assert few.nearest.shape[1] == 59 - int(ancestors.count.max())


@pytest.mark.parametrize("name", training.MANIFOLDS)
def test_the_nearest_of_many_points_are_found_by_groups(name):
    torch.manual_seed(0)
    manifold = training.space(training.Settings(name, 3)).double().manifold
    shape = 2 * near.WIDTH + 77, 3 + (name in ("sphere", "product"))
    points = manifold.random_normal(*shape, std=1.0, dtype=torch.float64)
    nodes = torch.arange(0, len(points), 37)
    order = near.Order(manifold, points)
    found, far = order.nearest(nodes, 9)
    least = manifold.pairwise_dist(points[nodes], points).topk(9, largest=False)
    assert torch.equal(found.sort(1).values, least.indices.sort(1).values)
    again = found.gather(1, far.argsort(1))
    assert torch.equal(again[:, 1:], least.indices[:, 1:])  # by itself each is first


def test_the_manifolds_distances_are_those_of_radius_and_direction():
    manifold = training.space(training.Settings("lorentz", 4)).double().manifold
    points = manifold.random_normal(60, 4, std=3.0, dtype=torch.float64)
    i, j = torch.arange(60)[:, None], torch.arange(60)
    found = near.Distances(manifold, points)(i, j)
    assert torch.allclose(
        found.fill_diagonal_(0), manifold.pairwise_dist(points, points), atol=2e-5
    )


@pytest.mark.parametrize(
    "settings", [{"manifold": "lorentz"}, {"manifold": "euclidean", "squared": True}]
)
def test_own_rivals_give_the_ranking_loss(settings):
    """With all wrong nodes for rivals, and none drawn, it is the loss of shared candidates."""
    h = tree()
    ancestors, nodes = graph.Ancestors(h), torch.arange(1, 60)
    g = training.space(training.Settings(dim=4, scale=1.5, **settings)).double()
    points = g.manifold.random_normal(60, 4, std=3.0, dtype=torch.float64).requires_grad_()
    rivals = near.Rivals(ancestors, 60, 0)
    everything = torch.arange(60).expand(60, -1)
    positive = torch.from_numpy(h.above.toarray())[1:]
    wrong = ~positive & (nodes[:, None] != torch.arange(60))
    rivals.of = lambda nodes: (everything[nodes], wrong)
    expected = ranking_loss(g, points[1:], points, positive, wrong)
    assert near.near_loss(g, points, ancestors, rivals, nodes).item() == pytest.approx(
        expected.item(), abs=1e-6
    )


def test_a_small_tree_is_learned_from_rivals_of_its_own():
    h = tree()
    settings = training.Settings(
        "lorentz", 4, epochs=25, batch=20, burn_in=0.4, lr=0.3, negatives=5, nearest=10, look=4
    )
    trained = training.train(h, settings)
    assert evaluate.reconstruct(trained.geometry.manifold, trained.points, h.above).map > 0.9
    ball = dataclasses.replace(settings, manifold="poincare", epochs=2)
    assert training.train(h, ball).points.isfinite().all()


def test_runs_keep_their_files_where_rivals_are_shared():
    kept = plan.decisive(training.Settings("lorentz", 5))
    assert not {"nearest", "look"} & kept.keys()
    assert plan.decisive(training.Settings("lorentz", 5, nearest=20))["look"] == 20


def test_an_epoch_asks_about_every_node_once_in_five_steps_at_least():
    h = tree()
    ancestors = graph.Ancestors(h)
    for batch, steps in ((256, 5), (3, 20)):
        batches = training.Batches(h, ancestors, training.Settings("sphere", 2, batch=batch))
        found = batches.epoch()
        assert len(found) == len(batches) == steps
        assert sorted(torch.cat(found).tolist()) == list(range(1, 60))


def test_steps_first_grow_and_then_shrink():
    shares = [training.rate(i / 100, 0.3) for i in range(101)]
    assert shares[0] == pytest.approx(0.01) and shares[30] == 1 and shares[100] == 0.01
    assert max(shares) == 1 and training.rate(0.0, 0.0) == 1


def test_a_sphere_and_a_product_have_the_dimension_that_is_asked_for():
    for name in training.MANIFOLDS:
        for dim in (2, 5):
            g = training.space(training.Settings(name, dim))
            assert g.dim - g.manifold.codim == dim, name
    with pytest.raises(ValueError, match="squared is for euclidean, not lorentz"):
        training.Settings("lorentz", 5, squared=True)


def test_the_command_resumes_and_refuses_in_one_line(csv, tmp_path, capsys):
    flags = ["--data", str(csv), "--dim", "2", "--epochs", "2", "--quiet", "--json"]
    flags += ["--out", str(tmp_path / "out"), "--manifold", "lorentz,sphere"]
    assert reconstruct.main(flags) == 0
    first = json.loads(capsys.readouterr().out)["runs"]
    assert [r["name"] for r in first] == ["labels-lorentz-d2-s0", "labels-sphere-d2-s0"]
    assert all(0 < r["map"] <= 1 and r["nodes"] == 59 for r in first)
    files = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").iterdir()}
    assert reconstruct.main(flags) == 0
    assert json.loads(capsys.readouterr().out)["runs"] == first
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out").iterdir()} == files
    # Another csv under the same name is another run.
    csv.write_text(csv.read_text() + "n60,n1\n")
    assert reconstruct.main(flags) == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["nodes"] == 60

    csv.write_text("child,parent\na,b\nb,a\n")
    assert reconstruct.main(flags) == 2
    assert 'a cycle of parents: "a" -> "b" -> "a", rows 2, 3' in capsys.readouterr().err
    assert reconstruct.main(["--data", "brid.n.01"]) == 2
    assert 'there is no node "brid.n.01"' in capsys.readouterr().err
    assert reconstruct.main(["--table", "mammal"]) == 2
    assert 'there is no table "mammal"' in capsys.readouterr().err


def test_a_stopped_study_keeps_what_it_has(tmp_path):
    plan_ = [store.Run(f"run{i}", {"seed": i}) for i in range(3)]
    made = []

    def do(run):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(run.name)
        return {"map": len(made)}

    with pytest.raises(KeyboardInterrupt):
        store.complete(tmp_path, plan_, do)
    assert [r.name for r in store.missing(tmp_path, plan_)] == ["run2"]
    made.clear()
    results = store.complete(tmp_path, plan_, do)
    assert made == ["run2"] and [r["map"] for r in results] == [1, 2, 1]
    assert store.read(tmp_path) == results
    (tmp_path / plan_[0].file).write_text("{")
    with pytest.raises(GeomclipError, match="is no json"):
        store.complete(tmp_path, plan_, do)


def test_the_data_of_a_recipe_stand_over_its_first_points(monkeypatch, tmp_path):
    sections = tomllib.loads(plan.RECIPE.read_text())
    monkeypatch.setattr(plan, "WINNERS", tmp_path / "winners.toml")
    found = plan.recipe("verbs", "lorentz", "tree")
    assert "like" not in found and found["epochs"] == sections["verbs"]["epochs"]
    assert found["nearest"] == sections["near"]["nearest"] and "nearest" not in sections["all"]
    mammals = plan.recipe("mammals", "sphere", "tree")
    assert mammals["burn_in"] == 0 and mammals["lr"] == sections["tree"]["lr"]
    # Winners lie over these; the rate of a start from a tree is its own where none was swept.
    plan.WINNERS.write_text(
        "[sweep.lorentz]\nlr = 9.0\nscale = 8.0\n[sweep-near.lorentz]\nlr = 7.0\n"
    )
    assert plan.recipe("verbs", "lorentz", "tree") == found | {"lr": 7.0}
    assert plan.recipe("mammals", "lorentz", "tree") == mammals | {"scale": 8.0}
    assert plan.recipe("mammals", "lorentz", "random")["lr"] == 9.0
    # The ball, where it was not swept, is the hyperboloid.
    assert plan.recipe("verbs", "poincare", "tree") == found | {"lr": 7.0}
    plan.WINNERS.write_text("[sweep.lorentz]\nlr = 9.0\n[sweep.poincare]\nlr = 6.0\n")
    assert plan.recipe("mammals", "poincare", "random")["lr"] == 6.0


def test_a_table_crosses_its_further_parts_too():
    also = [{"dims": [2], "seeds": [0]}, {"inits": ["random"], "seeds": [3]}]
    whole = plan.Table(["mammals"], ["lorentz", "euclidean"], [5], ["tree"], also=also)
    names = [run.name for run in plan.planned(whole, plan.digests(whole))]
    first = [f"mammals-{m}-d5-tree-s{s}" for s in (0, 1, 2) for m in ("lorentz", "euclidean")]
    assert names[:6] == first
    assert names[6:] == [
        f"mammals-{m}-{rest}" for rest in ("d2-tree-s0", "d5-s3") for m in ("lorentz", "euclidean")
    ]
    with pytest.raises(RequestError, match="also: unknown dim"):
        plan.Table([], [], [], also=[{"dim": 2}])


@pytest.mark.parametrize("name", page.SWEEPS)
def test_sweeps_try_as_much_for_every_manifold(name):
    sweep = plan.read_table(name)
    assert set(sweep.trials) == set(sweep.manifolds)
    assert len({len(trials) for trials in sweep.trials.values()}) == 1
    with pytest.raises(RequestError, match="lorentz 1, sphere 0"):
        plan.Table([], [], [], trials={"lorentz": [{}], "sphere": []})
    # The seed that settings are chosen by is in no table.
    tables = [plan.read_table(p.stem) for p in plan.TABLES.glob("*.toml")]
    tables = [part for table in tables if not table.trials for part in table.parts]
    assert tables and not any(set(table.seeds) & set(sweep.seeds) for table in tables)
    # Every table has a tuned Euclidean row.
    assert all("euclidean" in table.manifolds for table in [*tables, sweep])


def test_tables_show_spread_nan_and_what_was_published():
    def result(seed, map_, **settings):
        values = {"data": "mammals", "manifold": "lorentz", "init": "random"}
        values |= {"optimizer": "geomclip", "dim": 5, "seed": seed, **settings}
        return {
            "settings": values, "map": map_, "mean_rank": None if map_ is None else 2.0,
            "train_cpu_seconds": 3.0, "wall_seconds": 4.0, "steps": 10,
            "environment": {"threads": 1},
        }  # fmt: skip

    found = [result(0, 0.9), result(1, 0.8), result(0, None, optimizer="geoopt")]
    lines = page.table(found).splitlines()
    assert lines[2] == "| Lorentz | 2.00 ± 0.00 / 0.850 ± 0.071 |"
    assert lines[3] == "| Lorentz, geoopt's RiemannianAdam | NaN (1 of 1) |"
    assert lines[4].startswith("| published, Poincaré") and lines[4].endswith("| 1.26 / 0.927 |")
    assert page.cost(found).startswith("3 runs, 1 to 2 seeds, 10 steps; training took 3 CPU")
    assert page.cost(found).endswith("a run took 4 seconds by the clock.")
