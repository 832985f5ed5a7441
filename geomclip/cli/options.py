"""What the commands share: common flags, short spellings, parsing by tyro. Loads no torch."""

import dataclasses
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import tyro

from geomclip.cli.help import describe_fields
from geomclip.data.config import DataConfig
from geomclip.errors import RequestError

T = TypeVar("T")


@dataclass(frozen=True)
class Common:
    """Flags of every command."""

    json: bool = False
    """Write the result to stdout as one JSON object."""
    quiet: bool = False
    """No progress and no notes on stderr."""
    debug: bool = False
    """Show the traceback of an error."""
    plugin: str = ""
    """Modules of your own with encoders that a configuration names, separated by commas; looked for
    in the folder you are in, too."""


# One spelling each, where no file can have set the flag: --json, not --json and --no-json.
CommonFlags = Annotated[Common, tyro.conf.arg(name=""), tyro.conf.FlagCreatePairsOff]

# As in the author's fork of open_clip.
SPELLINGS = {"--entailment-weight": "--entailment"}


def parse(options: type[T], argv: Sequence[str], *, prog: str, default: T | None = None) -> T:
    """Parse flags into a dataclass. Raises SystemExit(2) with the choices for a bad value."""
    if not {"-h", "--help"}.isdisjoint(argv):
        describe_fields(options)  # type: ignore[arg-type]  # a class can be hashed
    return tyro.cli(  # type: ignore[return-value]  # tyro admits a default of None
        options,
        args=list(argv),
        prog=prog,
        default=default,
    )


def spell_out(argv: Sequence[str], own: type | None = None) -> list[str]:
    """Short and foreign spellings as the full ones: --data PATH is --data.source PATH, --skip-bad
    is --data.skip-bad, and so on for every field of DataConfig. `--data A --data B` is A::B, and
    `--data-weights 3,1` is --data.weights 3 1.

    Args:
        own: the command's options, whose fields keep their flags where the data have one of the
            same name.
    """
    spellings = dict(SPELLINGS)
    for field in dataclasses.fields(DataConfig):
        name = field.name.replace("_", "-")
        spellings[f"--{name}"] = f"--data.{name}"
        spellings[f"--no-{name}"] = f"--data.no-{name}"
    for field in dataclasses.fields(own) if own else ():
        spellings.pop(f"--{field.name.replace('_', '-')}", None)
    spellings["--data"] = "--data.source"
    out: list[str] = []
    for token in _joined(argv):
        flag, equals, value = token.partition("=")
        full = spellings.get(flag.replace("_", "-")) if flag.startswith("--") else None
        out.append(f"{full}{equals}{value}" if full else token)
    return out


def _joined(argv: Sequence[str]) -> list[str]:
    """Repeated --data as one with A::B, --data-weights by the name of its field."""
    out: list[str] = []
    for token in argv:
        flag, equals, value = token.partition("=")
        if flag.replace("_", "-") == "--data-weights":
            out += ["--data.weights", *(value.split(",") if equals else [])]
        elif out and out[-1] == "--data.weights":
            out += token.split(",")
        else:
            out.append(token)
    sources, rest, tokens = [], [], iter(out)
    for token in tokens:
        flag, equals, value = token.partition("=")
        if flag in ("--data", "--data.source"):
            sources.append(value if equals else next(tokens, ""))
        else:
            rest.append(token)
    return [*rest, "--data.source", "::".join(sources)] if len(sources) > 1 else out


def peek(argv: Sequence[str], flag: str) -> str | None:
    """The last value given for a flag, before anything is parsed; None where it isn't given."""
    value = None
    for i, token in enumerate(argv):
        if token == flag and i + 1 < len(argv):
            value = argv[i + 1]
        elif token.startswith(f"{flag}="):
            value = token.removeprefix(f"{flag}=")
    return value


def import_plugins(argv: Sequence[str]) -> None:
    """Import the modules that `--plugin` names. Raises RequestError where there is no such module.

    Only a command line says what code is run: a file that is read may name what is imported.
    """
    given = peek(argv, "--plugin")
    if not given:
        return
    if "" not in sys.path:
        sys.path.insert(0, "")
    for name in comma_list(given, "--plugin"):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise  # a module that the plugin itself imports
            raise RequestError(
                f'--plugin: there is no module "{name}"',
                "Give the name of a file here without .py, or of an installed module.",
            ) from None


def guard_pipes(data: DataConfig, argv: Sequence[str]) -> DataConfig:
    """`allow_pipe` only where this command line says so: a file must not allow its own commands."""
    if data.allow_pipe and "--data.allow-pipe" not in [t.replace("_", "-") for t in argv]:
        return dataclasses.replace(data, allow_pipe=False)
    return data


def comma_list(text: str, flag: str) -> list[str]:
    """The entries of "a,b,c". Raises RequestError for an empty or a repeated entry."""
    entries = [entry.strip() for entry in text.split(",")]
    if not all(entries):
        raise RequestError(f'{flag} "{text}" has an empty entry', "Separate entries by one comma.")
    repeated = sorted({entry for entry in entries if entries.count(entry) > 1})
    if repeated:
        raise RequestError(f'{flag} "{text}" names {repeated[0]} twice', "Name each once.")
    return entries


def replace(options: T, **changes: Any) -> T:
    """`dataclasses.replace` for any dataclass type."""
    return dataclasses.replace(options, **changes)  # type: ignore[type-var]
