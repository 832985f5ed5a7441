"""`geomclip analyze`: the files, the table, several spaces, what is refused."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from geomclip import build_geometry
from geomclip.analysis import ANALYSES
from geomclip.cli.main import main
from geomclip.embeddings import Embeddings

N = 60


def space(name, seed=0):
    """Random features of pictures in three classes and of their texts, lifted."""
    torch.manual_seed(seed)
    g = build_geometry(name, 8)
    features = {m: torch.randn(N, 8) for m in ("image", "text")}
    points = {m: g.lift(f, m).detach() for m, f in features.items()}
    paths = [("thing", str(i % 3)) for i in range(N)]
    points["label"] = g.lift(torch.randn(4, 8), "text").detach()
    nodes = [("thing",), *(("thing", str(i)) for i in range(3))]
    return Embeddings(
        points, g, paths={"image": paths, "label": nodes}, levels=("kind", "<b>class")
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spaces")
    for name in ("clip", "meru"):
        space(name).write(folder / f"{name}.safetensors")
    return folder


def test_two_spaces_side_by_side(files, tmp_path, capsys):
    sources = [str(files / f"{name}.safetensors") for name in ("clip", "meru")]
    assert main(["analyze", *sources, "--out", str(tmp_path), "--json"]) == 0
    out, err = capsys.readouterr()
    said = json.loads(out)
    assert json.loads((tmp_path / "analysis.json").read_text()) == said
    clip, meru = said["clip.safetensors"], said["meru.safetensors"]
    assert set(meru["results"]) == set(ANALYSES)
    # The second is compared with the first.
    assert set(ANALYSES) - set(clip["results"]) == {"cones", "comparison"}
    assert set(clip["left_out"]) == {"cones"}
    assert "Against " in meru["results"]["comparison"]["notes"][0]
    for report in (clip, meru):
        for result in report["results"].values():
            for row in result["rows"].values():
                assert row["n"] > 0 and row["value"] is not None
                assert row["error"] is None or row["error"] >= 0
    assert "median.label: <b>class" in meru["results"]["roots"]["rows"]
    assert "image → image, same label: R@1" in err and "±" in err
    assert "has no entailment cones" in err

    html = (tmp_path / "analysis.html").read_text()
    assert "default-src &#39;none&#39;" in html and html.count("Content-Security-Policy") == 1
    page = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)  # plotly has addresses
    assert "&lt;b&gt;class" in page and "<b>" not in page and "http:" not in page
    assert "https:" not in page
    assert html.count('class="plot"') > 12


def test_the_numbers_are_those_of_python(files, tmp_path, capsys):
    from geomclip.analysis import modality_gap

    path = files / "meru.safetensors"
    assert main(["analyze", str(path), "--only", "gap", "--out", str(tmp_path)]) == 0
    assert "Distance of the midpoints" in capsys.readouterr().out
    said = json.loads((tmp_path / "analysis.json").read_text())["meru.safetensors"]
    assert list(said["results"]) == ["gap"]
    expected = modality_gap(Embeddings.read(path)).to_dict()
    assert said["results"]["gap"] == json.loads(json.dumps(expected))


def test_a_sample_says_that_it_is_one(files, tmp_path):
    path = str(files / "meru.safetensors")
    assert main(["analyze", path, "--max-points", "40", "--out", str(tmp_path), "--quiet"]) == 0
    results = json.loads((tmp_path / "analysis.json").read_text())["meru.safetensors"]["results"]
    sentence = "A random sample of 40 of 60 image and 40 of 60 text points."
    for name, result in results.items():
        linear = name in ("roots", "cones", "distortion")  # these take every point
        assert (sentence in result["notes"]) != linear
    assert results["retrieval"]["rows"]["image_text.partner.r1"]["n"] == 40
    assert results["roots"]["rows"]["median.image"]["n"] == 60


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["x.npz"], "holds vectors of shape (9, 4) but not how their distance is measured"),
        (["x.npz", "--geometry", "clip"], "away from 1"),
        (["x.npz", "--geometry", "meru"], "not complete without its curvature"),
        (["x.npz", "--geometry", "euclip", "--only", "gaps"], 'there is no analysis "gaps"'),
        (["x.npz", "--geometry", "euclip", "--root", "empty"], "nothing to analyse"),
        (["none.npz"], "there is no such file"),
        (["nan.npz", "--geometry", "euclip"], "1 of 9 points"),
        (["same.npz", "--geometry", "euclip"], "all 9 points of image are the same"),
        (["two.npz", "--geometry", "euclip"], "image has 9 points, text has 8"),
        (["x.npz", "--geometry", "euclip", "--only", "comparison"], "needs another space"),
        (["a.npz", "b.npz", "--only", "comparison"], "have 0 image ids in common, of 9 and 9"),
        (["miss.npz", "--geometry", "euclip"], "8 label paths for 9 points of image"),
        (["x.npz", "--geometry", "euclip", "--only", "collapse"], "needs two classes"),
        (["a.npz", "--tree", "cycle.csv"], 'a cycle of parents: "p" -> "q" -> "p"'),
        (["a.npz", "--tree", "two.csv"], "--tree needs one root; there are 2"),
        (["a.npz", "--tree", "one.csv", "--only", "distortion"], "fewer than three nodes of one"),
        (["a.npz", "--analogies", "one.csv"], "one.csv has no column relation and no column a"),
        (["a.npz", "--analogies", "r.csv", "--only", "analogies"], 'no row has the name "nobody"'),
        (["x.npz", "--geometry", "euclip", "--out", "x.npz/a"], "x.npz/a can't be written: Not a"),
        (["garbage.npz", "--geometry", "euclip"], "garbage.npz: no .npz file"),
        ([], "there is no SOURCE"),
        (["x.npz", "--max-points", "1"], "--max-points is 1"),
    ],
)
def test_bad_input_is_one_clear_line(argv, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    nan = x.copy()
    nan[4, 2] = np.nan
    np.savez("x.npz", image=x)
    np.savez("nan.npz", image=nan)
    np.savez("same.npz", image=np.ones((9, 4), dtype=np.float32))
    np.savez("two.npz", image=x, text=x[:8])
    for name in "ab":
        ids = [f"{name}{i}" for i in range(9)]
        Embeddings({"image": torch.from_numpy(x)}, build_geometry("euclip", 4), ids=ids).write(
            tmp_path / f"{name}.npz"
        )
    np.savez("miss.npz", image=x, labels=np.array(list("aabbccdd")))
    Path("garbage.npz").write_bytes(b"<html>not found</html>")
    Path("cycle.csv").write_text("child,parent\np,q\nq,p\n")
    Path("two.csv").write_text("child,parent\np,q\nr,s\n")
    Path("one.csv").write_text("child,parent\np,q\nr,q\n")
    Path("r.csv").write_text("relation,a,b\nis,a0,a1\nis,a2,a3\nis,a4,nobody\n")
    only = [] if "--only" in argv else ["--only", "roots"]
    assert main(["analyze", *argv, *only]) == 2
    first, second = capsys.readouterr().err.splitlines()[-2:]
    assert first.startswith("geomclip analyze: ") and message in first
    assert second.startswith("  ") and len(second) > 4
