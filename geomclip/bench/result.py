"""What a measurement gives, and the file of results that a later call continues."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from geomclip.bench.config import Case
from geomclip.bench.timing import Spread
from geomclip.bench.workload import Error
from geomclip.errors import RequestError

OURS = "geomclip"


@dataclass(frozen=True)
class Result:
    """One competitor in one case: its time or its memory, or why there is none."""

    case: Case
    what: str
    """"forward", "forward + backward", "memory", or the operation (rowwise)."""
    competitor: str
    seconds: Spread | None = None
    over_floor: Spread | None = None
    """Its time over that of the matrix products alone."""
    ours_over: Spread | None = None
    """geomclip's time over its time."""
    error: Error | None = None
    repaired: float | None = None
    bytes: int | None = None
    """Peak over the inputs."""
    note: str | None = None
    """Why there is no number."""
    system: dict[str, Any] = field(default_factory=dict)
    """What it was measured on: `runner.system`."""

    @property
    def key(self) -> tuple[Case, str, str]:
        """What makes it the same measurement, whenever it was made."""
        return self.case, self.what, self.competitor

    def to_dict(self) -> dict[str, Any]:
        """Plain values, the case's beside the numbers."""
        values = asdict(self)
        return {**values.pop("case"), **values}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Result":
        """Of `to_dict`'s values."""
        values = dict(values)
        case = {name: values.pop(name) for name in Case.__dataclass_fields__}
        for name in ("seconds", "over_floor", "ours_over"):
            values[name] = Spread(**values[name]) if values[name] else None
        values["error"] = Error(**values["error"]) if values["error"] else None
        return cls(Case(**case), **values)


class Store:
    """Results in a file of JSON lines, each with the system it was measured on."""

    def __init__(self, path: Path | None, system: dict[str, Any]) -> None:
        self.path, self.system = path, system
        self.results: list[Result] = []
        if path is not None and path.is_file():
            self.results = read(path)

    def lacking(self, case: Case, names: tuple[str, ...], *, memory: bool) -> tuple[str, ...]:
        """The competitors to measure: none if the times of all are there, since ratios need them
        in one process; those without a peak otherwise.
        """
        there = {
            r.competitor for r in self.results if r.case == case and (r.what == "memory") == memory
        }
        missing = tuple(name for name in names if name not in there)
        return missing if memory or not missing else names

    def add(self, results: Iterable[Result]) -> None:
        """Keeps results, in the file too."""
        for result in results:
            result = replace(result, system=self.system)
            self.results = [r for r in self.results if r.key != result.key] + [result]
            if self.path is not None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(result.to_dict()) + "\n")


def read(path: Path) -> list[Result]:
    """The results of a file, the last of each measurement.

    Raises:
        RequestError: a line is none; with its number.
    """
    results: dict[tuple[Case, str, str], Result] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            result = Result.from_dict(json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            raise RequestError(
                f"{path} line {number} is no result of geomclip bench ({error})",
                "Choose another --out.",
            ) from error
        results[result.key] = result
    return list(results.values())
