"""A space against its label tree: planted trees are found, all numbers have nulls, gaps a note."""

import dataclasses

import pytest
import torch

import geomclip
from geomclip.data.record import Corpus
from geomclip.data.splits import EvalSplit
from geomclip.data.transforms import on_white
from geomclip.embeddings import Embeddings
from geomclip.errors import RequestError
from geomclip.evaluate import evaluate
from geomclip.evaluate.label_tree import evaluate_label_tree, evaluate_tree, nodes_of
from geomclip.evaluate.split_tree import evaluate_split_tree
from geomclip.hierarchy import Hierarchy

PATHS = [(a, a + b, a + b + c) for a in "xyz" for b in "123" for c in "pqrs"]
LABELS = list(dict.fromkeys(path[:k] for path in PATHS for k in (1, 2, 3)))


def planted(name: str, dim: int = 96) -> Embeddings:
    """Labels as sums of ever smaller steps, three pictures about each leaf."""
    g = geomclip.build_geometry(name, dim)
    generator = torch.Generator().manual_seed(0)
    at = {(): torch.zeros(dim)}
    for path in LABELS:
        step = torch.randn(dim, generator=generator)
        length = (0, 1.0, 0.9, 0.8)[len(path)] * dim**0.5
        at[path] = at[path[:-1]] + length * step / step.norm()
    rows = [path for path in PATHS for _ in range(2)]
    noise = torch.randn(len(rows), dim, generator=generator)
    images = torch.stack([at[path] for path in rows]) + 0.3 * noise
    labels = torch.stack([at[path] for path in LABELS])
    scale = 0.2 if name == "hyperbolic" else 1
    with torch.no_grad():
        points = {"image": g.lift(scale * images, "image"), "label": g.lift(scale * labels, "text")}
        empty = g.lift(torch.randn(dim, generator=generator), "text")
    return Embeddings(
        points, g, paths={"image": rows, "label": LABELS}, empty=empty, source="planted"
    )


@pytest.mark.parametrize("name", ["clip", "hyperbolic"])
def test_a_planted_tree_is_found_in_every_geometry(name):
    found = evaluate_label_tree(planted(name))
    rows = dict(found.rows())
    angle = "angle from mean" if name == "clip" else "angle"
    assert rows[f"entailment AUC, image by {angle}"].value > 0.9
    assert rows[f"entailment AUC, label by {angle}"].beyond_chance > 3
    assert (
        rows["ancestors' AP, image by score"].value > 3 * rows["ancestors' AP, image by score"].null
    )
    assert rows["classes: accuracy"].value > 0.9
    assert rows["clusters: triplet accuracy"].value > 0.9 and found.cluster_level == 3
    if name != "clip":
        assert rows["depth order, root own: pairs in order"].value > 0.9
    # CLIP has no root of its own: both of its others stand beside each other.
    own = set() if name == "clip" else {"own"}
    assert set(found.depth) == own | {"mean", "empty"}
    for what, number in rows.items():
        assert number.n > 0 and number.null is not None, what
    plain = found.to_dict()
    assert set(plain["rows"]) == set(rows) and plain["hierarchy"]["leaves"] == len(PATHS)


def test_labels_alone_and_trees_that_say_little():
    e = planted("euclidean")
    tree = Hierarchy.from_paths(LABELS)
    nodes = nodes_of(tree, LABELS)
    alone = evaluate_tree(e.geometry, tree, e["label"], nodes, shuffles=2)
    assert not alone.errors and alone.clustering is None and alone.depth
    # Three labels of one level, one picture each.
    flat = Hierarchy.from_paths([("a",), ("b",), ("c",)])
    nodes = nodes_of(flat, [("a",), ("b",), ("c",)])
    found = evaluate_tree(e.geometry, flat, e["label"][:3], nodes, e["image"][:3], nodes)
    notes = "\n".join(found.notes)
    assert "all labels have one depth" in notes and "of labels: no label is above" in notes
    assert "clusters: no level" in notes and not found.depth
    assert found.errors["published"].accuracy.n == 3
    with pytest.raises(RequestError, match="2 label points for 3 nodes"):
        evaluate_tree(e.geometry, flat, e["label"][:2], nodes)
    with pytest.raises(RequestError, match="no points of labels"):
        evaluate_label_tree(Embeddings({"image": e["image"]}, e.geometry, paths=e.paths["image"]))


def test_a_split_is_measured_with_its_labels_as_texts(emoji, untrained):
    model = untrained("meru")
    one = {"heldout_rendition": emoji.evaluation["heldout_rendition"]}
    found = evaluate(model, dataclasses.replace(emoji, evaluation=one), trees=True)
    split = found.splits["heldout_rendition"]
    rows = dict(split.tree.rows())
    queries = emoji.evaluation["heldout_rendition"].query
    assert rows["classes: accuracy"].n == len(queries)
    # The names among which retrieval ranks are the classes of the tree.
    assert rows["classes: accuracy"].value == pytest.approx(split.image_to_text.recall(1), abs=0.05)
    assert split.to_dict()["tree"]["rows"].keys() == rows.keys()


def test_a_split_without_paths_has_no_tree(untrained):
    pool = Corpus(
        torch.zeros(2, 4, 16, 16, dtype=torch.uint8), ["a", "b"], [("a",), ("b",)], [(), ()],
        ["", ""],
    )  # fmt: skip
    split = EvalSplit("validation", pool, torch.arange(2))
    assert evaluate_split_tree(untrained("clip"), split, torch.zeros(2, 16)) is None


def test_labels_may_be_nodes_of_wordnet(untrained):
    names = ["golden_retriever", "n02121808", "hawk.n.01"]
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 255, (6, 4, 16, 16), generator=generator).to(torch.uint8)
    pool = Corpus(
        pictures, list("abcdef"), [(n,) for n in names * 2], [(n,) for n in names * 2], [""] * 6
    )
    split = EvalSplit("validation", pool, torch.arange(6))
    model = untrained("euclip")
    with torch.no_grad():
        x = model.encode_image(on_white(pictures))
    vertebrates = Hierarchy.read("vertebrate.n.01")
    found = evaluate_split_tree(model, split, x, hierarchy=vertebrates)
    assert found.hierarchy["tree"] and found.hierarchy["leaves"] == 3
    rows = dict(found.rows())
    assert rows["classes: accuracy"].n == 6
    # Retriever, cat and hawk meet at carnivore and at vertebrate: no pair is nearer than that.
    assert 0 <= rows["classes: tie"].value <= 16
    other = Corpus(pictures, list("abcdef"), [("unheard of",)] * 6, [("unheard of",)] * 6, [""] * 6)
    with pytest.raises(RequestError, match='1 of 1 labels are no node, "unheard of"'):
        evaluate_split_tree(model, EvalSplit("v", other, torch.arange(6)), x, hierarchy=vertebrates)
