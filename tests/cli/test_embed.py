"""`geomclip embed`: what is written, resumed, refused, and shared over processes."""

import dataclasses
import json

import pytest
import torch
from launching import finish, launch

from geomclip import embed, load
from geomclip.cli.main import main
from geomclip.data.config import DataConfig
from geomclip.embeddings import Embeddings
from geomclip.encode_parts import embed_to, open_records, read_range
from geomclip.errors import RequestError
from geomclip.train.world import World

LABELS = ("group", "colour")


@pytest.fixture(scope="module")
def run(settings, table, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "tiny"
    argv = ["train", "--config", str(settings), "--data", str(table), "--out", str(out), "--quiet"]
    assert main([*argv, "--label-columns", *LABELS, "--val-fraction", "0.3"]) == 0
    return out


@pytest.fixture(scope="module")
def data(table):
    return DataConfig(source=str(table), label_columns=LABELS)


@pytest.fixture(scope="module")
def whole(run, data):
    """The embeddings made in memory, at once."""
    return embed(load(run), data)


def assert_same(a, b):
    assert list(a.points) == list(b.points)
    for name in a.points:
        torch.testing.assert_close(a[name], b[name], rtol=1e-5, atol=1e-6)
    assert (a.texts, a.paths, a.ids, a.levels) == (b.texts, b.paths, b.ids, b.levels)
    assert torch.equal(a.pairs, b.pairs)


def test_every_picture_text_and_label_is_a_row(whole, run):
    model = load(run)
    assert {m: len(x) for m, x in whole.points.items()} == {"image": 60, "text": 60, "label": 12}
    assert whole.levels == LABELS
    assert whole.label_paths("image")[0] == whole.label_paths("text")[0] == ("warm", "red")
    with torch.no_grad():
        torch.testing.assert_close(whole["text"][3:4], model.encode_text([whole.texts[3]]))
        torch.testing.assert_close(whole.empty, model.encode_text([""])[0])


def test_the_command_writes_what_embed_gives(run, data, whole, tmp_path, capsys):
    out = tmp_path / "e.safetensors"
    argv = ["embed", str(run), "--data", data.source, "--label-columns", *LABELS]
    assert main([*argv, "--out", str(out), "--part", "7", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["points"] == {"image": 60, "text": 60, "label": 12} and said["out"] == str(out)
    assert_same(Embeddings.read(out), whole)
    assert [p.name for p in tmp_path.iterdir()] == ["e.safetensors"]


def test_what_was_done_before_a_kill_is_not_done_again(run, data, whole, tmp_path):
    model, out = load(run), tmp_path / "e.npz"

    def embed_until(stop):
        def progress(done, total):
            seen.append((done, total))
            if done >= stop:
                raise KeyboardInterrupt

        seen = []
        options = {"source": str(out), "captions": "all", "part": 16, "progress": progress}
        try:
            embed_to(model, data, out, World(), **options)
        except KeyboardInterrupt:
            pass
        return seen

    embed_until(33)
    assert not out.exists() and len(list((tmp_path / "e.npz.parts").glob("0*"))) == 2
    with pytest.raises(RequestError, match=r"parts of other embeddings \(another model\)"):
        other = load(run)
        with torch.no_grad():
            other.geometry.logit_scale.add_(1e-3)
        embed_to(other, data, out, World(), source="", captions="all", part=16)
    with pytest.raises(RequestError, match=r"another part"):
        embed_to(model, data, out, World(), source="", captions="all", part=8)
    assert embed_until(1000)[0] == (16, 60 - 32)
    assert_same(Embeddings.read(out), whole)


def test_parts_begin_anywhere_in_tars_and_tables(table, tmp_path):
    import io
    import tarfile

    for shard in range(3):
        with tarfile.open(tmp_path / f"{shard}.tar", "w") as tar:
            for i in range(4 * shard, 4 * shard + 4):
                for suffix, content in ((".png", (table.parent / f"{i}.png").read_bytes()),
                                        (".txt", f"text {i}".encode())):  # fmt: skip
                    member = tarfile.TarInfo(f"{i:03d}{suffix}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    both = DataConfig(source=f"{tmp_path}/{{0..2}}.tar::{table}")
    records = open_records(both, lambda n: None)
    assert records.sizes.sum() == 72
    found = [r.texts[0] for r in read_range(records, range(2, 15))]
    assert found[:10] == [f"text {i}" for i in range(2, 12)]
    assert found[10:] == ["a red field, 10 wide", "a green field, 10 wide", "a blue field, 10 wide"]


def test_bad_records_stop_it_or_are_counted(run, table, tmp_path, caplog):
    rows = table.read_text().splitlines()
    for i in range(8):
        (tmp_path / f"{i}.png").write_bytes((table.parent / f"{i}.png").read_bytes())
    (tmp_path / "3.png").write_bytes(b"no picture")
    (tmp_path / "t.csv").write_text("\n".join(rows[:9]) + "\n")
    config, model = DataConfig(source=str(tmp_path / "t.csv")), load(run)
    with pytest.raises(RequestError, match=r"3\.png: not a picture"):
        embed(model, config)
    assert len(embed(model, dataclasses.replace(config, skip_bad=True))["image"]) == 7
    options = {"source": "", "captions": "all", "part": 3}
    skip = dataclasses.replace(config, skip_bad=True)
    made = embed_to(model, skip, tmp_path / "e.npz", World(), **options)
    assert len(made["image"]) == 7 and "left out 1 of 8 records" in caplog.text


def test_wrong_requests_are_two_lines(run, table, tmp_path, capsys):
    out = tmp_path / "e.npy"
    assert main(["embed", str(run), "--data", str(table), "--out", str(out)]) == 2
    assert 'not written as ".npy"' in capsys.readouterr().err
    assert main(["embed", str(tmp_path / "none"), "--data", str(table)]) == 2
    assert "no such file or folder" in capsys.readouterr().err


def test_a_run_is_analysed_on_what_it_held_out(run):
    assert main(["analyze", str(run), "--only", "roots,gap", "--quiet"]) == 0
    said = json.loads((run / "analysis.json").read_text())["tiny"]
    assert said["embeddings"]["geometry"] == "euclip"
    assert 0 < said["embeddings"]["points"]["image"] < 40


@pytest.mark.slow
def test_two_processes_write_the_file_of_one(run, data, whole, tmp_path):
    out = tmp_path / "e.safetensors"
    command = ["-m", "geomclip", "embed", run, "--data", data.source, "--out", out, "--part", 9]
    ends = finish(launch(2, [*command, "--label-columns", *LABELS]))
    assert [code for code, _ in ends] == [0, 0], ends
    assert_same(Embeddings.read(out), whole)
    assert sum("Next: geomclip analyze" in err for _, err in ends) == 1


def test_a_model_of_other_modalities_says_that_it_is_one(data):
    from torch import nn

    from geomclip import ContrastiveModel, build_geometry

    names = ("sound", "text")
    model = ContrastiveModel(
        {name: nn.Identity() for name in names}, build_geometry("meru", 4, modalities=names)
    )
    with pytest.raises(RequestError, match="the model encodes sound, text"):
        embed(model, data)
