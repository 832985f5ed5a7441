"""`geomclip data check`: the report on stdout, the verdict in the exit code."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image
from shards import numbered, parquet, shards

from geomclip.cli.main import main


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Three rows: one good, one without its picture, one whose picture is none."""
    out = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(out, "PNG")
    (tmp_path / "a.png").write_bytes(out.getvalue())
    (tmp_path / "c.png").write_text("no picture")
    path = tmp_path / "t.csv"
    path.write_text("filepath,title\na.png,a\nb.png,b\nc.png,c\n")
    return path


def test_problems_are_listed_and_exit_2(table, capsys):
    assert main(["data", "check", str(table)]) == 2
    captured = capsys.readouterr()
    assert f"{table}: csv, 3 rows, 1 usable" in captured.out
    assert "no such picture: 1" in captured.out and f"{table} row 3" in captured.out
    assert f"{table} row 4: c.png: not a picture" in captured.out
    assert captured.err.splitlines()[-2].endswith("2 of 3 rows are bad")
    assert "--data.skip-bad" in captured.err


def test_json_is_one_object(table, capsys):
    assert main(["data", "check", str(table), "--json"]) == 2
    values = json.loads(capsys.readouterr().out)
    assert (values["rows"], values["good"], values["ok"]) == (3, 1, False)
    assert {p["kind"]: p["count"] for p in values["problems"]} == {
        "no such picture": 1,
        "not a picture in a known format": 1,
    }


def test_skip_bad_accepts_what_is_left(table, capsys):
    assert main(["data", "check", str(table), "--skip-bad", "--quiet"]) == 0
    captured = capsys.readouterr()
    assert captured.err == "" and "no such picture" in captured.out


def test_a_clean_table_exits_0(table, capsys):
    table.write_text("filepath,title\na.png,a\n")
    assert main(["data", "check", str(table), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True


def test_examples_are_limited_and_the_rest_counted(table, capsys):
    rows = "".join(f"gone{i}.png,x\n" for i in range(9))
    table.write_text(f"filepath,title\n{rows}")
    assert main(["data", "check", str(table), "--examples", "2"]) == 2
    out = capsys.readouterr().out
    assert out.count("gone") == 2 and "and 7 more" in out


def test_a_missing_column_is_answered_with_the_option(table, capsys):
    table.write_text("filepath,words\na.png,x\n")
    assert main(["data", "check", str(table)]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert "(it has: filepath, words)" in first and "--data.caption-column" in second
    assert main(["data", "check", str(table), "--caption-column", "words"]) == 0


def test_shards_and_parquet_are_checked_by_key_and_row(tmp_path, capsys):
    pattern = shards(tmp_path, [3, 2])
    whole = (tmp_path / "001.tar").read_bytes()
    (tmp_path / "001.tar").write_bytes(whole.replace(b"\x89PNG", b"none", 1))
    assert main(["data", "check", pattern]) == 2
    out = capsys.readouterr().out
    assert f"{pattern}: tar, 5 rows, 4 usable" in out
    assert f"{tmp_path}/001.tar: 000003: not a picture in a known format" in out
    rows = [{"image": numbered(i), "caption": "x" if i else ""} for i in range(3)]
    path = parquet(tmp_path / "t.parquet", rows)
    assert main(["data", "check", str(path), "--json"]) == 2
    values = json.loads(capsys.readouterr().out)
    assert (values["format"], values["rows"], values["good"]) == ("parquet", 3, 2)
    assert values["problems"][0]["examples"][0]["where"] == f"{path} row 0"


def test_sizes_are_what_streaming_asks_for(tmp_path, capsys):
    pattern = shards(tmp_path, [3, 2])
    assert main(["data", "sizes", pattern, "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out) == {"000.tar": 3, "001.tar": 2}
    pipe = f"pipe:cat {tmp_path}/{{000..001}}.tar"
    assert main(["data", "sizes", pipe, "--quiet"]) == 2
    assert "would run a shell command" in capsys.readouterr().err
    assert main(["data", "sizes", pipe, "--allow-pipe", "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out) == {"000.tar": 3, "001.tar": 2}
    assert main(["data", "sizes", str(tmp_path / "nowhere"), "--quiet"]) == 2
    assert "no such file" in capsys.readouterr().err
    (tmp_path / "t.csv").write_text("filepath,title\n")
    assert main(["data", "sizes", str(tmp_path / "t.csv"), "--quiet"]) == 2
    assert "csv has no sizes file" in capsys.readouterr().err
