"""Shards at addresses: read by commands that are not always there, or fail."""

import json
import os
import sys
from pathlib import Path

import pytest
from shards import shards
from sources import fails, read

from geomclip.data import DataConfig
from geomclip.data.streaming import count_shards, open_tars
from geomclip.errors import RequestError

SHARDS = ["s3://bucket/000.tar", "s3://bucket/001.tar"]


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder behind s3://bucket, by an `aws s3 cp ADDRESS -` that prints its files."""
    folder, commands = tmp_path / "bucket", tmp_path / "bin"
    folder.mkdir()
    commands.mkdir()
    aws = commands / "aws"
    aws.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, sys\n"
        "assert sys.argv[1:3] == ['s3', 'cp'] and sys.argv[4] == '-'\n"
        f"path = pathlib.Path({str(folder)!r}) / sys.argv[3].removeprefix('s3://bucket/')\n"
        "sys.stdout.buffer.write(path.read_bytes()) if path.exists() else sys.exit(254)\n"
    )
    aws.chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    return folder


def test_s3_is_read_by_aws(bucket: Path) -> None:
    shards(bucket, [3, 2])
    good, bad = read("S3://bucket/{000..001}.tar")  # schemes have no case
    assert len(good) == 5 and bad == []
    assert count_shards(SHARDS, DataConfig()) == {"000.tar": 3, "001.tar": 2}
    (bucket / "sizes.json").write_text(json.dumps({"000.tar": 3, "001.tar": 2}))
    assert open_tars("bucket", SHARDS, DataConfig()).counts == [3, 2]


def test_a_command_that_fails_is_told_with_what_to_try(bucket: Path) -> None:
    """No shard counts as empty because it could not be reached."""
    shards(bucket, [3])
    with pytest.raises(RequestError, match=r"001.tar can't be counted: .*exit code 254") as caught:
        count_shards(SHARDS, DataConfig())
    assert "does this run: aws s3 cp s3://bucket/001.tar -" in caught.value.how
    with pytest.raises(
        RequestError, match=r"sizes.json can't be read: its command failed"
    ) as caught:
        open_tars("bucket", SHARDS, DataConfig())
    assert "geomclip data sizes PATH" in caught.value.how and "credentials" in caught.value.how
    _, bad = read("s3://bucket/{000..001}.tar")
    assert [b.where for b in bad] == ["s3://bucket/001.tar"] and "exit code 254" in bad[0].reason


@pytest.mark.parametrize(
    ("scheme", "command"), [("s3", "aws"), ("gs", "gsutil"), ("https", "curl"), ("ais", "ais")]
)
def test_a_command_that_is_missing_is_named(
    scheme: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    error = fails(f"{scheme}://bucket/a.tar")
    assert f"read by the command {command}, which is not installed" in error.what
    assert f"Install {command}" in error.how
