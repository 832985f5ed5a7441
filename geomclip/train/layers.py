"""TOML files over each other: `base = "other.toml"` names the file that lies below. Loads no torch.

A chain ends with the file that names none: below it lies the recipe of the geometry. With
`base = "none"` nothing does, so that such files say all of a run but TrainConfig's defaults.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geomclip.errors import RequestError

BASE = "base"
NOTHING = "none"


@dataclass(frozen=True)
class Layers:
    """The files of a chain, what lies below first, without their `base`."""

    files: tuple[tuple[Path, dict[str, Any]], ...]
    alone: bool
    """Whether no recipe lies below."""

    def merged(self) -> dict[str, Any]:
        """The settings of all files in one table."""
        whole: dict[str, Any] = {}
        for _, values in self.files:
            whole = _over(whole, values)
        return whole


def read_layers(path: Path) -> Layers:
    """A TOML file and those below it; a base's path starts from the folder of who names it.

    Raises:
        RequestError: a file is missing, no TOML, or its own base.
    """
    found: list[tuple[Path, dict[str, Any]]] = []
    chain: list[Path] = []
    asked, file = "Check --config.", Path(path)
    while True:
        place = file.resolve()
        if place in chain:
            names = " -> ".join(p.name for p in [*chain[chain.index(place) :], place])
            raise RequestError(f"{path}: base goes in a circle: {names}", f"Mend {BASE} in one.")
        values = _read(file, asked)
        base = values.pop(BASE, None)
        if base is not None and not (isinstance(base, str) and base):
            raise RequestError(
                f"{file}: {BASE} is {base!r}", f'Name a TOML file, or write {BASE} = "{NOTHING}".'
            )
        found.insert(0, (file, values))
        chain.append(place)
        if base in (None, NOTHING):
            return Layers(tuple(found), alone=base == NOTHING)
        asked, file = f"Check {BASE} in {file}.", file.parent / base


def _read(path: Path, asked: str) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RequestError(f"{path}: there is no such file", asked) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"{path}: not readable as TOML: {error}", "Mend that line.") from None


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    both = {k for k in below.keys() & above.keys() if isinstance(below[k], dict)}
    return (
        below | above | {k: _over(below[k], above[k]) for k in both if isinstance(above[k], dict)}
    )
