"""The dispatcher: help without torch, exit codes, two-line errors, the installed command."""

import errno
import importlib
import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import geomclip
from geomclip.cli.main import COMMANDS, explain, main
from geomclip.errors import GeomclipError, Interrupted, RequestError

COMMAND = Path(sysconfig.get_path("scripts")) / "geomclip"


def test_the_installed_command_prints_help():
    done = subprocess.run([COMMAND, "--help"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and done.stderr == ""
    assert all(f"\n  {name} " in done.stdout for name in COMMANDS)


def test_help_loads_neither_torch_nor_anything_heavy():
    """Of the program and of every command: help must come at once."""
    code = f"""
import contextlib, io, sys
from geomclip.cli.main import main
with contextlib.redirect_stdout(io.StringIO()) as out:
    codes = [main(["--help"])]
    parsers = sorted({{"tyro", "rich"}} & set(sys.modules))
    codes += [main([name, "--help"]) for name in {list(COMMANDS)}]
    codes += [main(["data", "check", "--help"])]
heavy = {{"torch", "plotly", "geoopt", "scipy", "numpy", "PIL", "tokenizers", "webdataset"}}
print(codes, parsers, sorted(heavy & set(sys.modules)), len(out.getvalue()) > 2000)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    zeros = [0] * (len(COMMANDS) + 2)
    assert done.stdout.strip() == f"{zeros} [] [] True", done.stderr


def test_every_command_has_its_module():
    for name in COMMANDS:
        assert callable(importlib.import_module(f"geomclip.cli.{name}").run)


@pytest.mark.parametrize("argv", [[], ["-h"], ["--help"], ["help"]])
def test_without_a_command_there_is_help(argv, capsys):
    assert main(argv) == 0
    assert capsys.readouterr().out.startswith("usage: geomclip COMMAND")


def test_help_of_a_command_by_either_spelling(capsys):
    assert main(["help", "compare"]) == 0
    first = capsys.readouterr().out
    assert main(["compare", "--help"]) == 0
    assert capsys.readouterr().out == first and "--geometries" in first


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"geomclip {geomclip.__version__}\n"


@pytest.mark.parametrize(
    ("argv", "what", "how"),
    [
        (["trian"], 'geomclip: there is no command "trian"', "One of compare, train"),
        (["train", "--geometry", "foo"], 'geomclip train: --geometry: there is no "foo"', "euclip"),
        (["train", "--steps", "0"], "geomclip train: steps must be positive, got 0", "steps"),
        (["train", "--c-init", "0"], "geomclip train: c_init must be positive, got 0", "c"),
        (["train", "--geometry=meru", "--c-init=-1"], "c_init must be positive, got -1", "c"),
        (["train", "--geometry=clip", "--entailment=1"], "clip has no entailment cones", "0"),
        (["train", "--config", "nowhere.toml"], "nowhere.toml: there is no such file", "--config"),
        (["train", "--resume", "--out", "nowhere"], "no run to resume in nowhere", "--resume"),
        (["data", "chekc"], 'geomclip data: there is no data command "chekc"', "data check PATH"),
        (["data", "check", "nowhere"], "nowhere: there is no such file", "csv"),
        (["data", "check", "x", "--val-data", "y"], "one path is checked at a time", "y"),
        (["compare", "--geometries", "clip,foo"], '--geometries: there is no "foo"', "meru"),
        (["compare", "--geometries", "clip,,meru"], "has an empty entry", "comma"),
        (["compare", "--geometries", "clip,clip"], "names clip twice", "once"),
        (["compare", "--geometries", "meru,hyperbolic"], "are the same geometry", "once"),
        (["compare", "--entailment", "0,x"], '"x" is no weight', "0,0.2"),
        (["compare", "--entailment", "-1"], '"-1" is no weight', "0,0.2"),
        (["compare", "--seeds", "0"], "--seeds is 0", "1 or more"),
        (["compare", "--jobs", "-2"], "--jobs is -2", "1 or more"),
        (["compare", "--minutes", "0"], "--minutes is 0", "above 0"),
        (["compare", "--steps", "9", "--minutes", "1"], "both set the length", "one"),
        (["evaluate", "nowhere"], "geomclip evaluate: nowhere: there is no such file", "path"),
    ],
)  # fmt: skip
def test_a_wrong_request_is_answered_in_two_lines(argv, what, how, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    first, second = captured.err.splitlines()
    assert what in first and first.startswith("geomclip")
    assert second.startswith("  ") and how in second
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["train", "--steps", "many"], "--steps"),
        (["train", "--stepz", "3"], "--steps"),
        (["train", "--model.image.kind", "resnet"], "vit"),
        (["train", "--data-weights", "3,1"], "Give --data-weights one number"),
        (["train", "--loss.tau-min", "-1"], "Give another --loss.tau-init."),
        (["evaluate"], "SOURCE"),
        (["data", "check"], "PATH"),
        (["info", "extra"], "extra"),
    ],
)
def test_usage_errors_exit_with_2_and_say_the_option(argv, text, capsys):
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and text in captured.err


def test_errors_map_to_exit_codes():
    full = OSError(errno.ENOSPC, "No space left on device", "x")
    cases = [
        (RequestError("w", "h"), 2),
        (GeomclipError("w", "h"), 1),
        (Interrupted("w", "h"), 130),
        (KeyboardInterrupt(), 130),
        (full, 1),
        (MemoryError(), 1),
        (ZeroDivisionError("x"), 1),
        (ValueError("x"), 1),
    ]
    for error, code in cases:
        what, how, found = explain(error)
        assert found == code
        assert what and "\n" not in what and how and "\n" not in how
    assert "space" in explain(full)[1]
    assert explain(ZeroDivisionError("x"))[0] == "ZeroDivisionError: x"


def test_a_traceback_only_with_debug(capsys):
    main(["data", "check", "nowhere"])
    assert "Traceback" not in capsys.readouterr().err
    assert main(["data", "check", "nowhere", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_info_as_text_and_as_json(capsys):
    assert main(["info"]) == 0
    assert "torch" in capsys.readouterr().out
    assert main(["info", "--json"]) == 0
    captured = capsys.readouterr()
    values = json.loads(captured.out)
    assert captured.err == ""
    assert values["geomclip"] == geomclip.__version__
    assert "cpu" in values["devices"] and values["packages"]["torch"] != "missing"
    assert values["emoji"]["twemoji"] == "1609"
