"""Train, interrupt, resume, evaluate: through the installed command where the process matters."""

import json
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import holding
import pytest

from geomclip.cli.main import main

COMMAND = str(Path(sysconfig.get_path("scripts")) / "geomclip")


def arguments(settings: Path, table: Path, out: Path, *more: str) -> list[str]:
    return ["train", "--config", str(settings), "--data", str(table), "--out", str(out), *more]


@pytest.fixture(scope="module")
def trained(settings, table, tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A run made by the installed command in a process of its own."""
    out = tmp_path_factory.mktemp("runs") / "tiny"
    argv = arguments(settings, table, out, "--label-columns", "group", "colour", "--json")
    done = subprocess.run([COMMAND, *argv], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return out, done


def test_stdout_is_one_json_object_and_stderr_is_for_people(trained):
    out, done = trained
    result = json.loads(done.stdout)
    assert result["step"] == 12 and result["out"] == str(out)
    assert "fields: " in done.stderr and "pictures to train on" in done.stderr
    assert "tiny  step 12/12  loss" in done.stderr and "chance 2.08" in done.stderr
    assert f"Next: geomclip evaluate {out}" in done.stderr


def test_the_run_folder_is_complete(trained):
    out, _ = trained
    for name in ("config.toml", "model.safetensors", "tokenizer.json", "metrics.jsonl"):
        assert (out / name).stat().st_size > 0
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 12


def test_a_folder_that_holds_a_run_is_not_overwritten(trained, settings, table, capsys):
    out, _ = trained
    before = (out / "model.safetensors").read_bytes()
    assert main(arguments(settings, table, out)) == 2
    err = capsys.readouterr().err
    assert "already holds a run" in err and "--resume" in err
    assert (out / "model.safetensors").read_bytes() == before


def test_resuming_a_finished_run_changes_nothing(trained, capsys):
    out, done = trained
    assert main(["train", "--resume", "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(done.stdout)


def test_resuming_with_other_settings_is_refused(trained, capsys):
    out, _ = trained
    assert main(["train", "--resume", "--out", str(out), "--lr", "0.5"]) == 2
    assert "lr" in capsys.readouterr().err


def test_ctrl_c_leaves_a_run_that_resumes(settings, table, tmp_path, capsys):
    out = tmp_path / "run"
    argv = arguments(settings, table, out, "--steps", "50", "--checkpoint-every", "50")
    call = [sys.executable, holding.__file__, "2", *argv]
    process = subprocess.Popen(call, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    metrics = out / "metrics.jsonl"
    while not metrics.exists() or metrics.read_bytes().count(b"\n") < 2:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    what, how = err.splitlines()[-2:]
    assert what.startswith("geomclip train: stopped by SIGINT at step")
    assert f"geomclip train --resume --out {out}" in how and "Traceback" not in err

    assert main(["train", "--resume", "--out", str(out), "--json", "--quiet"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["step"] == 50
    steps = [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps)) and steps[-1] == 50


def test_a_batch_larger_than_the_data(settings, table, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(arguments(settings, table, out, "--batch-size", "500")) == 2
    captured = capsys.readouterr()
    assert "500" in captured.err and captured.out == ""
    assert not (out / "model.safetensors").exists()


def test_a_bad_row_stops_a_run_before_it_begins(settings, table, tmp_path, capsys):
    broken = table.with_name("broken.csv")
    broken.write_text(table.read_text() + "gone.png,a caption,warm,red\n")
    out = tmp_path / "run"
    assert main(arguments(settings, broken, out)) == 2
    first, second = capsys.readouterr().err.splitlines()[-2:]
    assert f"{broken} row 62: no such picture: gone.png" in first
    assert "1 of 61 rows is bad; --data.skip-bad" in second
    assert not out.exists()
    assert main(arguments(settings, broken, out, "--skip-bad", "--steps", "1")) == 0
    assert "left out 1 of 61 rows" in capsys.readouterr().err


def test_an_unknown_device_and_a_folder_that_can_not_be(settings, table, tmp_path, capsys):
    argv = arguments(settings, table, tmp_path / "run", "--device", "abacus")
    assert main(argv) == 2
    assert "abacus" in capsys.readouterr().err
    file = tmp_path / "file"
    file.write_text("x")
    assert main(arguments(settings, table, file)) == 2
    assert "is a file" in capsys.readouterr().err


def test_evaluate_asks_about_the_data_of_the_run(trained, capsys):
    out, _ = trained
    assert main(["evaluate", str(out), "--json", "--quiet"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    values = json.loads(captured.out)
    assert values == json.loads((out / "evaluation.json").read_text())
    assert (values["data"], values["geometry"]) == ("fields", "euclip")
    numbers = {(r["split"], r["metric"]): r["value"] for r in values["rows"]}
    assert 0 <= numbers["validation", "i2t_r1"] <= numbers["validation", "i2t_r5"] <= 1
    assert 0 <= numbers["validation", "zeroshot_group_acc"] <= 1
    assert ("validation", "cone_auc_group") in numbers


def test_evaluate_as_a_table_of_a_checkpoint_into_a_file(trained, tmp_path, capsys):
    out, _ = trained
    checkpoint = sorted((out / "checkpoints").iterdir())[0]
    file = tmp_path / "deep" / "numbers.json"
    assert main(["evaluate", str(checkpoint), "--out", str(file)]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert "validation" in lines[1] and any(line.startswith("i2t_r1 ") for line in lines)
    assert json.loads(file.read_text())["source"] == str(checkpoint)


def test_a_checkpoint_of_another_shape(trained, tmp_path, capsys):
    out, _ = trained
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in out.iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    text = (copy / "config.toml").read_text()
    (copy / "config.toml").write_text(text.replace("embed_dim = 8", "embed_dim = 12"))
    assert main(["evaluate", str(copy)]) == 2
    err = capsys.readouterr().err
    assert str(copy) in err and "Traceback" not in err


def test_evaluate_refuses_what_is_no_run(tmp_path, capsys):
    assert main(["evaluate", str(tmp_path)]) == 2
    assert "no run" in capsys.readouterr().err


def test_a_dry_run_reads_and_writes_nothing(settings, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    argv = ["train", "--config", str(settings), "--data", "nowhere/{000..999}.tar", "--dry-run"]
    argv += ["--hardware", "h100x2", "--price-per-hour", "2.5", "--micro-batch", "2"]
    assert main([*argv, "--json", "--device", "cuda:7"]) == 0
    captured = capsys.readouterr()
    values = json.loads(captured.out)
    assert "There is no cuda:7 here: measured on cpu." in captured.err
    assert not list(tmp_path.iterdir())
    assert (values["samples"], values["pairs_at_once"], values["hardware"]) == (96, 4, "h100x2")
    assert values["measured"]["pairs"] == 2 and values["measured"]["samples_per_second"] > 0
    assert values["parameters"]["total"] > 8 * 600 and values["cost"] > 0


def test_options_of_a_dry_run_ask_for_one(settings, capsys):
    argv = ["train", "--config", str(settings)]
    assert main([*argv, "--hardware", "h100"]) == 2
    assert "--hardware is for a dry run\n  Add --dry-run." in capsys.readouterr().err
    assert main([*argv, "--utilisation", "0.5"]) == 2
    assert "--utilisation is for a dry run" in capsys.readouterr().err
    assert main([*argv, "--dry-run", "--price-per-hour", "2"]) == 2
    assert "--price-per-hour has no --hardware" in capsys.readouterr().err
    assert main([*argv, "--dry-run", "--hardware", "abacus"]) == 2
    assert 'hardware: "abacus" is not known' in capsys.readouterr().err


def test_a_plugin_is_code_that_the_command_line_names(
    settings, table, tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bag_of_words.py").write_text(
        "from torch import nn\n"
        "def bag(config, tokenizer):\n"
        "    return nn.EmbeddingBag(tokenizer.vocab_size, config.model.embed_dim)\n"
    )
    tables = (
        '[modalities.image]\nreads = "image"\n[modalities.text]\nencoder = "bag_of_words:bag"\n'
    )
    (tmp_path / "run.toml").write_text(settings.read_text() + tables)
    command = arguments(Path("run.toml"), table, Path("run"), "--steps", "1", "--quiet")
    assert main(command) == 2
    assert "--plugin bag_of_words" in capsys.readouterr().err
    assert main([*command, "--plugin", "no_such_bag"]) == 2
    assert '--plugin: there is no module "no_such_bag"' in capsys.readouterr().err
    monkeypatch.setattr("sys.path", list(sys.path))
    assert main([*command, "--plugin", "bag_of_words"]) == 0
    monkeypatch.delitem(sys.modules, "bag_of_words")
