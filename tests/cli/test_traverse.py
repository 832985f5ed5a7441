"""`geomclip traverse` on a trained run, on embeddings, into a page; and what it refuses."""

import json

import pytest
from PIL import Image

from geomclip.cli.main import main


@pytest.fixture(scope="module")
def run(settings, table, tmp_path_factory):
    out = tmp_path_factory.mktemp("traverse") / "run"
    argv = ["train", "--config", str(settings), "--data", str(table), "--out", str(out)]
    labels = ["--data.label-columns", "group", "colour"]
    assert main([*argv, *labels, "--geometry", "clip", "--quiet"]) == 0
    return out


def picture(path, colour="red"):
    Image.new("RGB", (20, 10), colour).save(path)
    return path


def test_a_picture_to_the_root_as_lines_and_as_json(run, tmp_path, capsys):
    path = picture(tmp_path / "red.png")
    capsys.readouterr()
    assert main(["traverse", str(run), str(path), "--steps", "20", "--quiet"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "[ROOT]" and len(set(lines)) == len(lines)
    assert main(["traverse", str(run), str(path), "--steps", "20", "--quiet", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert [m["text"] for m in values["way"]] == lines
    # 60 captions, 2 + 10 labels (some of which are words too) and the words.
    assert 900 < values["pool"] <= 60 + 12 + 900


def test_to_another_picture_with_texts_of_a_file_into_a_page(run, tmp_path, capsys):
    texts, page = tmp_path / "texts.txt", tmp_path / "deep" / "way.html"
    texts.write_text("<b>red</b>\nblue & white\n", encoding="utf-8")
    argv = ["traverse", str(run), str(picture(tmp_path / "a<b>.png")), "--texts", str(texts)]
    argv += ["--to", str(picture(tmp_path / "b.png", "blue")), "--out", str(page), "--json"]
    assert main([*argv, "--path", "geodesic", "--root", "mean"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["pool"] == 2 and values["path"] == "geodesic" and values["root"] == "mean"
    html = page.read_text(encoding="utf-8")
    assert "<b>" not in html and "a&lt;b&gt;.png" in html
    assert html.count("data:image/png;base64,") == 2 and "<script" not in html
    met = {m["text"] for m in values["way"]}
    assert ("&lt;b&gt;red" in html) == ("<b>red</b>" in met)


def test_every_picture_with_the_distribution_and_others_beside(run, tmp_path, capsys):
    page = tmp_path / "all.html"
    last = sorted((run / "checkpoints").iterdir())[-1]
    argv = ["traverse", str(run), "--others", str(last), "--limit", "4", "--out", str(page)]
    assert main([*argv, "--pool", "captions,labels", "--json"]) == 0
    captured = capsys.readouterr()
    first, second = json.loads(captured.out)["sources"]
    assert first["images"] == second["images"] and first["ways"] == 4 == sum(first["distribution"])
    assert len(first["images"]) == 4
    listed = [len(names) - ("[ROOT]" in names) for names in first["images"].values()]
    assert first["captions"]["value"] == pytest.approx(sum(listed) / 4)
    html = page.read_text(encoding="utf-8")
    assert html.count("<svg") == 2 and html.count('class="strip"') == 4
    assert json.loads(page.with_suffix(".json").read_text())[str(run)]["ways"] == 4


def test_embeddings_have_their_own_texts(run, table, tmp_path, capsys):
    from geomclip.encode import embed
    from geomclip.loaders import load

    path = tmp_path / "e.npz"
    embed(load(run), str(table)).write(path)
    assert main(["traverse", str(path), "--limit", "3", "--json", "--quiet"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["sources"]
    assert found["ways"] == 3 and found["pool"] == 60
    assert main(["traverse", str(path), "--limit", "3", "--texts", "x.txt"]) == 2
    assert "no model that could encode" in capsys.readouterr().err


def test_evaluate_measures_the_tree_of_embeddings(run, table, tmp_path, capsys):
    from geomclip.data.config import DataConfig
    from geomclip.encode import embed
    from geomclip.loaders import load

    path = tmp_path / "e.npz"
    config = DataConfig(source=str(table), label_columns=("group", "colour"))
    embed(load(run), config).write(path)
    assert main(["evaluate", str(path), "--json", "--quiet"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values == json.loads((tmp_path / "e.evaluation.json").read_text())
    rows = values["splits"]["embeddings"]["tree"]["rows"]
    assert rows["classes: accuracy"]["n"] == 60
    assert {"entailment AUC, image by angle", "entailment AUC, image by angle from mean"} <= set(
        rows
    )
    assert main(["evaluate", str(path), "--hierarchy", "nouns"]) == 2
    assert "no model that could encode" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "what"),
    [
        (["--steps", "1"], "--steps 1"),
        (["--to", "b.png"], "--to needs a picture"),
        (["--min-radius", "0.1", "--limit", "2"], "no cones to filter by"),
        (["missing.png"], "missing.png: can't be read"),
        (["missing.png", "--others", "x"], "--others goes without IMAGE"),
        (["--pool", "verbs"], "no part verbs"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_2(run, argv, what, capsys):
    assert main(["traverse", str(run), *argv, "--quiet"]) == 2
    err = capsys.readouterr().err
    assert what in err and len(err.splitlines()) == 2
