"""`torchrun -m geomclip train`: one voice on stdout and stderr, whoever fails."""

import json
import subprocess
import sysconfig
from pathlib import Path

from launching import finish, launch

TORCHRUN = str(Path(sysconfig.get_path("scripts")) / "torchrun")


def test_two_processes_speak_as_one(settings, table, tmp_path):
    out = tmp_path / "run"
    command = [TORCHRUN, "--nproc-per-node", "2", "-m", "geomclip", "train"]
    command += ["--config", str(settings), "--data", str(table), "--out", str(out), "--json"]
    command += ["--report-to", "tensorboard"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["step"] == 12
    said = [line for line in done.stderr.splitlines() if "pictures to train on" in line]
    assert len(said) == 1
    assert done.stderr.count("Next: geomclip evaluate") == 1 and "Warning" not in done.stderr
    assert (out / "finished.json").is_file()
    assert len(list((out / "tensorboard").iterdir())) == 1  # rank 0 alone reports


def test_a_wrong_request_is_answered_once(settings, table, tmp_path):
    command = ["-m", "geomclip", "train", "--config", settings, "--data", table]
    command += ["--out", tmp_path / "run"]
    ends = finish(launch(2, [*command, "--batch-size", 9]))
    assert [code for code, _ in ends if code == 2] and all(code in (1, 2) for code, _ in ends)
    (line,) = [line for _, err in ends for line in err.splitlines() if "geomclip train:" in line]
    assert "batch_size 9 does not divide into 2 processes" in line
    assert not (tmp_path / "run").exists()

    ends = finish(launch(2, [*command, "--lr", "fast"]))
    assert [code for code, _ in ends] == [2, 2]
    assert "fast" in ends[0][1] and ends[1][1] == ""
