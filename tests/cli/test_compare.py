"""`geomclip compare` by the installed command: report, results, exit codes, a second call."""

import csv
import json
import subprocess
import sysconfig
from pathlib import Path

from shards import shards

from geomclip.cli.main import main

COMMAND = str(Path(sysconfig.get_path("scripts")) / "geomclip")


def test_compare_trains_evaluates_and_reports(table, settings, tmp_path, capsys):
    shared = tmp_path / "shared.toml"
    lines = settings.read_text().splitlines(keepends=True)
    shared.write_text("".join(x for x in lines if not x.startswith(("geometry", "steps"))))
    out = tmp_path / "comparison"
    argv = [
        "compare", "--geometries", "euclip", "--steps", "4", "--data", str(table), "--config",
        str(shared), "--label-columns", "group", "colour", "--out", str(out), "--json",
    ]  # fmt: skip
    done = subprocess.run([COMMAND, *argv], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "1 run: euclip-seed0; this takes about" in done.stderr
    assert "euclip-seed0  step 4/4  loss" in done.stderr
    assert f"Report: {out / 'report.html'}" in done.stderr
    values = json.loads(done.stdout)
    assert values["settings"]["steps"] == 4

    with (out / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["geometry", "entailment", "seed", "split", "metric", "value"]
    assert {row["geometry"] for row in rows} == {"euclip"}
    assert len(rows) == len(values["rows"])
    assert "<html" in (out / "report.html").read_text(encoding="utf-8")

    weights = out / "euclip-seed0" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    assert main([*argv, "--quiet"]) == 0
    captured = capsys.readouterr()
    again = json.loads(captured.out)
    assert captured.err == "" and weights.stat().st_mtime_ns == before
    assert again["rows"] == values["rows"]


def test_a_file_of_shared_settings_holds_no_geometry(settings, tmp_path, capsys):
    assert main(["compare", "--config", str(settings), "--out", str(tmp_path / "x")]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert f"{settings}: geometry is not for a file" in first and "--geometries" in second
    assert not (tmp_path / "x").exists()


def test_data_that_are_not_there_stop_a_comparison_before_it_begins(tmp_path, capsys):
    argv = ["compare", "--data", str(tmp_path / "nowhere.csv"), "--out", str(tmp_path / "x")]
    assert main([*argv, "--steps", "1"]) == 2
    captured = capsys.readouterr()
    assert "nowhere.csv: there is no such file" in captured.err and captured.out == ""


def test_a_stream_without_validation_data_is_refused(tmp_path, capsys):
    pattern = shards(tmp_path / "shards", [3, 2])
    argv = ["compare", "--data", pattern, "--data.stream", "always", "--out", str(tmp_path / "out")]
    assert main(argv) == 2
    what, how = capsys.readouterr().err.splitlines()[-2:]
    assert "nothing of a stream is held out" in what and "--data.val-data" in how
    assert not (tmp_path / "out").exists()
