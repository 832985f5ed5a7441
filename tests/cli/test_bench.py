"""`geomclip bench` in a process of its own, on sizes that take no time; speed is not asserted."""

import json
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

import pytest

COMMAND = Path(sysconfig.get_path("scripts")) / "geomclip"
TINY = ("--n", "12", "--dim", "3", "--rounds", "2")
CHEAP = ("--competitors", "geomclip,textbook,float64,hypll,one-buffer")


def bench(*arguments: str, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*python, *arguments] if python else [COMMAND, "bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_json_has_every_competitor_of_every_pass(tmp_path):
    out = tmp_path / "results.jsonl"
    plot = tmp_path / "bars.svg"
    done = bench("pairwise", "loss", *TINY, *CHEAP, "--json", "--out", out, "--plot", plot)
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert values["system"]["torch"] and values["system"]["clock"] == "CPU seconds"
    found = {(r["subject"], r["what"], r["competitor"]): r for r in values["results"]}
    passes = "forward", "forward + backward"
    expected = {
        ("pairwise", p, n) for p in passes for n in ("geomclip", "textbook", "float64", "floor")
    }
    expected |= {("pairwise", p, "hypll") for p in passes}
    expected |= {
        ("loss", passes[1], n) for n in ("geomclip", "textbook", "float64", "one-buffer", "floor")
    }
    assert set(found) == expected
    there = find_spec("hypll") is not None
    for (subject, what, name), r in found.items():
        if name == "hypll":  # a peer without such a distance, or not installed, is a note
            assert ("ball only" if there else "not installed") in r["note"]
            assert r["seconds"] is None
            continue
        assert 0 < r["seconds"]["low"] <= r["seconds"]["median"] <= r["seconds"]["high"]
        assert r["ours_over"]["median"] > 0 and r["over_floor"]["low"] > 0
        if name == "geomclip" and what == passes[1]:
            assert r["error"]["value"] < 1e-5 and r["error"]["gradient"] < 1e-5
            assert r["ours_over"] == {"median": 1.0, "low": 1.0, "high": 1.0}
            assert subject == "loss" or r["repaired"] in (0.0, None)
    assert plot.read_text().startswith("<svg")
    lines = out.read_text().splitlines()
    assert len(lines) == len(values["results"])

    again = bench("pairwise", "loss", *TINY, *CHEAP, "--json", "--out", out)
    assert again.returncode == 0 and out.read_text().splitlines() == lines
    assert json.loads(again.stdout)["results"] == values["results"]


def test_tables_for_people_and_a_peer_that_is_missing():
    """With hypll hidden from the process."""
    code = (
        "import sys, importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'hypll' else find(name, *a)\n"
        "from geomclip.cli.main import main\n"
        f"sys.exit(main(['bench', 'pairwise', '--geometry', 'poincare', *{TINY + CHEAP!r}]))"
    )
    done = bench(code, python=(sys.executable, "-c"))
    assert done.returncode == 0, done.stderr
    assert "pairwise poincare, 12 x 12, dim 3, forward + backward" in done.stdout
    assert "hypll: hypll is not installed (pip install hypll)" in done.stderr
    for name in ("geomclip", "textbook", "float64", "floor"):
        assert sum(line.startswith(name) for line in done.stdout.splitlines()) == 2


def test_rows_and_memory():
    done = bench("rowwise", "--geometry", "elliptic", *TINY, "--json", "--quiet")
    assert done.returncode == 0 and done.stderr == ""
    assert {r["what"] for r in json.loads(done.stdout)["results"]} == {"dist"}
    if sys.platform == "linux":
        done = bench("loss", *TINY, "--memory", "--no-time", "--competitors", "geomclip", "--json")
        (result,) = json.loads(done.stdout)["results"]
        assert result["what"] == "memory" and 0 <= result["bytes"] < 2**28


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("--n", "0"), "--n is 0"),
        (("--rounds", "0"), "--rounds is 0"),
        (("--threads", "9999"), "--threads is 9999"),
        (("--geometry", "flat"), '--geometry: there is no "flat"'),
        (("--competitors", "meru"), '--competitors: there is no "meru"'),
        (("pairwise", "--geometry", "clip"), "clip has no pairwise operation"),
        (("pairwise", "--close", "2"), "--close is 2"),
        (("loss", "--close", "0.1"), "--close places pairs of the pairwise distance"),
        (("loss", "--m", "7"), "--m is the number of columns"),
        (("--precision", "tf32"), "--precision tf32 exists on CUDA devices only"),
        (("--device", "cuda:77"), "there is no device cuda:77"),
        (("--device", "abacus"), "--device abacus is not measured here"),
        (("--no-time",), "--no-time leaves nothing to measure"),
    ],
)
def test_a_wrong_request_is_two_lines_and_exit_2(arguments, what, capsys):
    from geomclip.cli.main import main

    assert main(["bench", *arguments]) == 2
    text = capsys.readouterr().err
    lines = text.strip().splitlines()
    assert lines[0].startswith(f"geomclip bench: {what}") and len(lines) == 2, text
    assert lines[1].startswith("  ")


def test_an_unknown_choice_is_named_with_the_others():
    done = bench("--dtype", "float8")
    assert done.returncode == 2 and "float32" in done.stderr and "Traceback" not in done.stderr
