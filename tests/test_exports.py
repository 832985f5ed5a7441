"""Embeddings written for other tools, and read by them."""

import csv
import json

import pytest
import torch

from geomclip import build_geometry
from geomclip.cli.main import main
from geomclip.embeddings import Embeddings
from manifolds import topk


def space(name):
    torch.manual_seed(0)
    g = build_geometry(name, 6)
    points = {m: g.lift(3 * torch.randn(40, 6), m).detach() for m in ("image", "text")}
    texts = [f"text\t{i}\nof two lines" for i in range(40)]
    return Embeddings(points, g, texts=texts, paths=[("a", str(i % 4)) for i in range(40)])


@pytest.fixture(params=["clip", "euclip", "meru", "poincare"])
def made(request, tmp_path):
    e = space(request.param)
    e.write(tmp_path / "e.safetensors")
    return e, tmp_path


def export(folder, to, out):
    assert main(["export", str(folder / "e.safetensors"), str(folder / out), "--to", to]) == 0
    return folder / out


def test_a_parquet_is_read_back_and_has_a_plane_of_geodesic_lengths(made, capsys):
    parquet = pytest.importorskip("pyarrow.parquet")
    e, folder = made
    path = export(folder, "parquet", "out.parquet")
    assert "parquet" in capsys.readouterr().out
    again = Embeddings.read(path)
    assert torch.equal(again["text"], e["text"]) and again.texts == e.texts
    table = parquet.read_table(path)
    assert {"x", "y", "text", "label", "vector"} <= set(table.column_names)
    plane = torch.tensor([table.column("x").to_pylist(), table.column("y").to_pylist()])
    every = torch.cat(list(e.points.values()))
    away = e.manifold.dist(e.manifold.weighted_midpoint(every), every)
    assert (plane.norm(dim=0) <= away + 1e-4).all()
    assert plane[0].square().mean() >= plane[1].square().mean()
    assert plane.square().sum() > away.square().sum() / 3  # of six directions the two largest


def test_faiss_finds_what_the_space_finds(made):
    faiss = pytest.importorskip("faiss")
    from geomclip.analysis.ann import faiss_vectors

    e, folder = made
    out = export(folder, "faiss", "index")
    about = json.loads((out / "index.json").read_text())
    assert about["indexes"]["text"] == {
        "file": "text.faiss",
        "points": 40,
        "dimension": about["indexes"]["image"]["dimension"],
    }
    index = faiss.read_index(str(out / "text.faiss"))
    query = faiss_vectors(e.manifold, e["image"], query=True)
    _, found = index.search(query.numpy(), 3)
    assert found.tolist() == topk(e.manifold, e["image"], e["text"], 3).index.tolist()


def test_the_projector_gets_one_line_a_point(made):
    e, folder = made
    out = export(folder, "projector", "projector")
    vectors = [line.split("\t") for line in (out / "vectors.tsv").read_text().splitlines()]
    with open(out / "metadata.tsv", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))
    assert len(vectors) == 80 and len(rows) == 81
    assert rows[1] == ["image", "0", "", ""] and rows[42][2] == "text 1 of two lines"
    shape = json.loads((out / "projector.json").read_text())["embeddings"][0]["tensorShape"]
    assert shape == [80, 6]
    length = torch.tensor([[float(v) for v in row] for row in vectors]).norm(dim=1)
    if e.geometry.spec.root == "origin":
        expected = torch.cat([e.root_distance("image"), e.root_distance("text")])
        torch.testing.assert_close(length, expected, rtol=1e-5, atol=1e-6)


def test_embeddings_are_no_model_and_a_folder_that_holds_something_is_refused(tmp_path, capsys):
    space("meru").write(tmp_path / "e.safetensors")
    argv = ["export", str(tmp_path / "e.safetensors"), str(tmp_path / "out"), "--to", "hf"]
    assert main(argv) == 2
    assert "holds embeddings, and no model" in capsys.readouterr().err
