"""Shards by name: brace patterns, addresses and pipes, and how each is opened.

Addresses go through webdataset's openers with its `enforce_security` on. A `pipe:` runs a shell
command, and only where the command line allowed it.
"""

import glob
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from geomclip.data.config import DataConfig
from geomclip.data.files import is_url
from geomclip.errors import RequestError

# A typing slip in a brace pattern names more shards than anybody has.
MAX_SHARDS = 100_000

# What reads an address of a scheme; hf:// asks huggingface_hub for the address first.
COMMANDS = {
    "s3": "aws s3 cp {} -",
    "gs": "gsutil cat {}",
    "ais": "ais get {} -",
    **dict.fromkeys(("http", "https", "sftp", "ftps", "scp"), "curl -fL {}"),
    **dict.fromkeys(("hf", "htgs"), "curl"),
}


class CommandFailed(OSError):
    """The command that reads an address or a pipe failed; the message says how."""


def is_remote(shard: str) -> bool:
    """Whether a shard is an address or a pipe; a file:// address is a file."""
    return shard.startswith("pipe:") or (is_url(shard) and not shard.startswith("file://"))


def local_path(shard: str) -> Path:
    """The file of a shard that is not remote."""
    return Path(shard.removeprefix("file://"))


def expand(source: str) -> list[str]:
    """The shards of a path, an address or a pipe: braces expanded, and wildcards in paths.

    Raises RequestError with the missing shards, where they are files.
    """
    from braceexpand import braceexpand

    try:
        shards = list(islice(braceexpand(source), MAX_SHARDS + 1))
    except ValueError:
        raise RequestError(
            f"{source}: the braces don't close", "Write {00000..00041}.tar."
        ) from None
    if len(shards) > MAX_SHARDS:
        raise RequestError(f"{source} names more than {MAX_SHARDS:,} shards", "Shorten the range.")
    if is_remote(source):
        return shards
    files: list[str] = []
    for shard in shards:
        wild = "*" in shard or "?" in shard
        files += sorted(glob.glob(str(local_path(shard)))) if wild else [shard]
    missing = [file for file in files if not local_path(file).is_file()]
    if missing or not files:
        names = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise RequestError(
            f"{source}: {len(missing)} of {len(files)} shards don't exist: {names}"
            if files
            else f"{source} matches no file",
            "Check the range in the braces and the folder.",
        )
    return files


def check_pipe(shard: str, config: DataConfig) -> None:
    """Raises RequestError unless the command of a pipe: may be run."""
    if not config.allow_pipe:
        raise RequestError(
            f'"{shard}" would run a shell command', "Add --data.allow-pipe if you trust it."
        )


@contextmanager
def open_shard(shard: str, config: DataConfig) -> Iterator[Any]:
    """A binary stream of the shard; only that of a file can seek.

    Raises:
        RequestError: a pipe that is not allowed, an address that nothing opens, or whose command
            is not installed.
        CommandFailed: an address or a pipe; it shows when the stream has been read.
        OSError: the file can't be opened or read.
    """
    if not is_remote(shard):
        with local_path(shard).open("rb") as file:
            yield file
        return
    # Slow to import, and its command-running openers are locked before first use.
    from webdataset import utils
    from webdataset.gopen import Pipe, gopen, gopen_schemes

    utils.enforce_security = True
    scheme, rest = shard.split(":", 1)
    scheme = scheme.lower()
    shard = f"{scheme}:{rest}"
    tool = COMMANDS.get(scheme, "").split(" ")[0]
    if tool and shutil.which(tool) is None:
        raise RequestError(
            f"{shard}: {scheme}:// is read by the command {tool}, which is not installed",
            f"Install {tool}, or copy the shards to a disk here.",
        )
    # 141: the reader closed before the command was done, which is no failure.
    if scheme == "pipe":
        check_pipe(shard, config)
        stream = Pipe(shard[5:], mode="rb", shell=True, ignore_status=[141])
    elif scheme == "hf":
        stream = _open_hub(shard, gopen)
    elif scheme in gopen_schemes:
        stream = gopen(shard)
    elif scheme == "s3":
        # webdataset has gs, http(s), ais and hf, but no s3. No shell: the address stays one word.
        stream = Pipe(["aws", "s3", "cp", shard, "-"], mode="rb", ignore_status=[141])
    else:
        known = ", ".join(sorted({*gopen_schemes, "s3", "file"} - {"__default__", "pipe"}))
        raise RequestError(f"{shard}: nothing opens {scheme}://", f"Known: {known}; or a path.")
    try:
        with stream:
            yield stream
    except OSError as error:
        code = re.search(r"exit (-?\d+) \(read\)", str(error))
        if code is None:
            raise
        raise CommandFailed(f"its command failed with exit code {code[1]}") from error


def _open_hub(shard: str, gopen: Callable[[str], Any]) -> Any:
    try:
        return gopen(shard)
    except ImportError:
        raise RequestError(
            f"{shard}: hf:// needs huggingface_hub", "pip install huggingface_hub"
        ) from None
    except Exception as error:  # of the hub, of its http library, of the network
        first = (str(error).strip() or "no reason given").splitlines()[0]
        raise CommandFailed(f"the hub can't be asked: {first}") from error


def way_out(shard: str) -> str:
    """What to look at where a remote shard can't be read."""
    scheme, rest = shard.split(":", 1)
    command = COMMANDS.get(scheme.lower(), "").format(f"{scheme.lower()}:{rest}")
    command = rest if scheme == "pipe" else command
    asked = "Look at the address, the credentials and the network"
    return f"{asked}; does this run: {command}" if " " in command else f"{asked}."


def why(error: Exception) -> str:
    """An error's own words: webdataset appends streams and addresses to them."""
    text = str(error.args[0] if error.args else error).split(" @ ")[0]
    return error.strerror if isinstance(error, OSError) and error.strerror else text
