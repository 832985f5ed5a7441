"""What is run: recipes by manifold, and tables of runs, from TOML files.

recipe.toml has the settings of all runs, winners.toml the best trial of each manifold in a sweep;
tables/NAME.toml crosses data, manifolds, dimensions, first points, optimizers and seeds, and
[[also]] in it crosses more.
"""

import dataclasses
import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from graph import read
from store import Run
from training import INITS, MANIFOLDS, OPTIMIZERS, Settings

from geomclip.errors import RequestError
from geomclip.hierarchy import Hierarchy
from geomclip.train.files import write_text

HERE = Path(__file__).parent
RECIPE = HERE / "recipe.toml"
WINNERS = HERE / "winners.toml"
TABLES = HERE / "tables"


@dataclass(frozen=True)
class Table:
    """A table of runs.

    Args:
        data: sources, as `graph.read` takes them.
        manifolds, dims, inits, optimizers, seeds: what is crossed with each of them.
        settings: of all its runs, over the recipe.
        trials: settings to try instead, by manifold: a sweep. As many for each manifold.
        also: further crossings, each with what it has other than the table.
    """

    data: list[str]
    manifolds: list[str]
    dims: list[int]
    inits: list[str] = field(default_factory=lambda: ["random"])
    optimizers: list[str] = field(default_factory=lambda: ["geomclip"])
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    settings: dict[str, Any] = field(default_factory=dict)
    trials: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    also: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name, given, known in (
            ("manifold", self.manifolds, MANIFOLDS),
            ("init", self.inits, INITS),
            ("optimizer", self.optimizers, OPTIMIZERS),
        ):
            for value in given:
                if value not in known:
                    raise RequestError(f"{value} is no {name}", f"Known are {', '.join(known)}.")
        if len({len(tried) for tried in self.trials.values()}) > 1:
            counts = ", ".join(f"{name} {len(tried)}" for name, tried in self.trials.items())
            raise RequestError(
                f"sweep: not as many trials for each manifold: {counts}", "Give the same number."
            )
        for part in self.also:
            _check_keys("also", part)

    @property
    def parts(self) -> list["Table"]:
        """The table without its further crossings, and each of these."""
        return [dataclasses.replace(self, **{"also": [], **part}) for part in ({}, *self.also)]


def read_table(name: str) -> Table:
    """tables/NAME.toml, or the file itself. Raises RequestError for an unknown one or key."""
    path = Path(name) if name.endswith(".toml") else TABLES / f"{name}.toml"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in TABLES.glob("*.toml")))
        raise RequestError(
            f'there is no table "{name}"', f"Known are {known}; or give a TOML file."
        )
    values = tomllib.loads(path.read_text(encoding="utf-8"))
    _check_keys(str(path), values)
    return Table(**values)


def _check_keys(where: str, values: Mapping[str, Any]) -> None:
    known = {f.name for f in dataclasses.fields(Table)}
    if wrong := values.keys() - known:
        raise RequestError(
            f"{where}: unknown {', '.join(sorted(wrong))}",
            f"A table has {', '.join(sorted(known))}.",
        )


def recipe(data: str, manifold: str, init: str) -> dict[str, Any]:
    """Settings of recipe.toml: of all, over them the first points', over these the data's, and over
    all the winner of the data's sweep. The mammals' sweep starts from random points: a run from a
    tree keeps its own learning rate. The ball is the hyperboloid in other coordinates: where it was
    not swept itself it has the hyperboloid's winner."""
    sections = tomllib.loads(RECIPE.read_text(encoding="utf-8"))
    own = dict(sections.get(data, {}))
    like = own.pop("like", None)
    found = sections["all"] | sections.get(init, {}) | sections.get(like, {}) | own
    winners = read_winners().get(f"sweep-{like}" if like else "sweep", {})
    same = "lorentz" if manifold == "poincare" else manifold
    won = dict(winners.get(manifold) or winners.get(same, {}))
    if init == "tree" and not like:
        won.pop("lr", None)
    return found | won


def read_winners() -> dict[str, dict[str, dict[str, Any]]]:
    """winners.toml: by sweep and manifold."""
    return tomllib.loads(WINNERS.read_text(encoding="utf-8")) if WINNERS.exists() else {}


def write_winners(name: str, results: Sequence[Mapping[str, Any]]) -> None:
    """Put the winners of a sweep into winners.toml: of every manifold what was tried in the trial
    with the best MAP."""
    sweep, winners = read_table(name), read_winners()
    winners[name] = {}
    for manifold in sweep.manifolds:
        tried = [r for r in results if r["settings"]["manifold"] == manifold]
        if tried:
            best = max(tried, key=lambda r: r["map"] or 0)["settings"]
            keys = dict.fromkeys(key for trial in sweep.trials[manifold] for key in trial)
            winners[name][manifold] = {key: best[key] for key in keys}
    text = "# The trials with the best MAP, by sweep: written by reconstruct.py --table sweep...\n"
    for title, rows in sorted(winners.items()):
        for manifold, values in rows.items():
            lines = [f"{key} = {json.dumps(value)}\n" for key, value in values.items()]
            text += f"\n[{title}.{manifold}]\n" + "".join(lines)
    write_text(WINNERS, text)


def planned(table: Table, digests: Mapping[str, str]) -> Iterator[Run]:
    """The runs of a table, part by part, all of a seed before the next seed.

    Args:
        digests: of the data, by source.
    """
    for part in table.parts:
        for seed, data, init, optimizer, manifold, dim in product(
            part.seeds, part.data, part.inits, part.optimizers, part.manifolds, part.dims
        ):
            crossed = {"manifold": manifold, "dim": dim, "seed": seed}
            crossed |= {"optimizer": optimizer, "init": init}
            for trial in part.trials.get(manifold, [{}] if not part.trials else []):
                # A trial stands on the recipe alone: what won before has no part in it.
                base = recipe(data, manifold if not trial else "", init)
                given = base | part.settings | trial
                known = {f.name for f in dataclasses.fields(Settings)}
                if wrong := given.keys() - known:
                    raise RequestError(
                        f"unknown settings: {', '.join(sorted(wrong))}",
                        f"Known are {', '.join(sorted(known))}.",
                    )
                settings = Settings(**{**given, **crossed})
                title = Path(data).stem if data.endswith((".csv", ".tsv")) else data
                yield Run(
                    f"{title}-{manifold}-d{dim}"
                    f"{'-tree' * (init == 'tree')}{'-geoopt' * (optimizer == 'geoopt')}-s{seed}",
                    {"data": data, "digest": digests[data], **decisive(settings)},
                )


def decisive(settings: Settings) -> dict[str, Any]:
    """The settings that decide a run: `look` does nothing without `nearest`, and runs without
    either keep the files that they had before there were these."""
    values = dataclasses.asdict(settings)
    if not settings.nearest:
        del values["nearest"], values["look"]
    return values


def settings_of(run: Run) -> Settings:
    """The settings of a run's training."""
    names = {f.name for f in dataclasses.fields(Settings)}
    return Settings(**{k: v for k, v in run.settings.items() if k in names})


def digest(hierarchy: Hierarchy) -> str:
    """12 hex digits of what a hierarchy holds: a changed csv is another one."""
    text = "\n".join(hierarchy.names).encode() + hierarchy.edges.tobytes()
    return hashlib.sha256(text).hexdigest()[:12]


def digests(table: Table) -> dict[str, str]:
    """Of all its data. Raises as `graph.read`."""
    found = dict.fromkeys(data for part in table.parts for data in part.data)
    return {data: digest(read(data)) for data in found}
