"""The accuracy table: every regime measured for every implementation, and its text forms."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from manifolds.accuracy.exact import digits
from manifolds.accuracy.measure import errors
from manifolds.accuracy.ours import operation
from manifolds.accuracy.peers import Source
from manifolds.accuracy.regimes import CURVATURES, Regime

OURS = "manifolds"


@dataclass(frozen=True)
class Line:
    """A regime with the largest error of each implementation, in units of eps."""

    regime: Regime
    errors: dict[str, float]
    """By implementation; without those that lack the operation."""

    def inside(self, name: str) -> bool:
        """Whether the implementation stays within the limit."""
        return self.errors[name] <= self.regime.limit

    def to_dict(self) -> dict[str, Any]:
        """Plain values; an infinite error (NaN, off the manifold, an exception) is "inf"."""
        r = self.regime
        return {
            "quantity": r.quantity,
            "part": r.part,
            "manifold": r.manifold,
            "dtype": r.dtype,
            "kind": r.kind,
            "r": r.r,
            "curvatures": list(r.curvatures),
            "limit_eps": r.limit,
            "error_eps": {n: e if math.isfinite(e) else "inf" for n, e in self.errors.items()},
        }


@dataclass(frozen=True)
class Table:
    """All lines measured."""

    lines: list[Line]

    def names(self) -> list[str]:
        """The implementations, ours first."""
        found = dict.fromkeys(name for line in self.lines for name in line.errors)
        return sorted(found, key=lambda name: (name != OURS, list(found).index(name)))

    def counts(self, name: str) -> tuple[int, int]:
        """Regimes inside the limit, and regimes that the implementation has."""
        have = [line for line in self.lines if name in line.errors]
        return sum(line.inside(name) for line in have), len(have)

    def missed(self) -> list[Line]:
        """Lines outside our own limit."""
        return [line for line in self.lines if not line.inside(OURS)]

    def to_dict(self) -> dict[str, Any]:
        """Counts and lines."""
        counts = {name: dict(zip(("inside", "regimes"), self.counts(name), strict=True))
                  for name in self.names()}  # fmt: skip
        return {"counts": counts, "lines": [line.to_dict() for line in self.lines]}


def measure(
    regimes: Iterable[Regime],
    peers: dict[str, Source],
    progress: Callable[[int, int], None] | None = None,
) -> Table:
    """Measures the regimes for us and for the peers.

    Args:
        regimes: what to measure; those with equal points share the work if they are together.
        peers: other implementations by name.
        progress: called with the number of groups done and their total.

    Raises:
        ImportError: mpmath is missing; names the extra.
    """
    groups: dict[Any, list[Regime]] = {}
    for regime in regimes:
        groups.setdefault((regime.part == "second", *regime.place), []).append(regime)
    lines = []
    with digits():
        for done, group in enumerate(groups.values()):
            if progress is not None:
                progress(done, len(groups))
            first = group[0]
            sources: dict[str, Source] = {OURS: operation, **peers}
            found = {n: source(first.quantity, first.manifold) for n, source in sources.items()}
            operations = {name: op for name, op in found.items() if op is not None}
            worst = errors(group, operations)
            lines += [Line(r, {n: worst[n][r.part] for n in operations}) for r in group]
    if progress is not None:
        progress(len(groups), len(groups))
    return Table(lines)


# --- text ---


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "fails"
    if 100 <= value < 1000:
        return f"{value:.0f}"
    return f"{value:.2g}" if value < 100 else f"{value:.0e}".replace("e+0", "e").replace("e+", "e")


def summary(table: Table) -> list[str]:
    """One line an implementation: how many of its regimes are inside."""
    width = max(len(name) for name in table.names())
    return [
        f"{name:{width}}  {inside} of {count} regimes inside their limits"
        for name in table.names()
        for inside, count in [table.counts(name)]
    ]


@dataclass(frozen=True)
class _Row:
    """Lines that the printed table shows as one: all radii of a kind."""

    head: tuple[str, ...]
    radii: list[str]
    limits: list[float]
    errors: dict[str, list[float]]


def _rows(table: Table) -> list[_Row]:
    rows: dict[tuple[str, ...], _Row] = {}
    for line in table.lines:
        r = line.regime
        kind = r.kind if r.curvatures == CURVATURES else f"{r.kind}, c -> 0"
        head = (r.manifold, r.quantity, r.part, kind, r.dtype)
        row = rows.setdefault(head, _Row(head, [], [], {}))
        row.radii.append(f"{r.r:g}")
        row.limits.append(r.limit)
        for name, error in line.errors.items():
            row.errors.setdefault(name, []).append(error)
    return list(rows.values())


def markdown(table: Table) -> str:
    """How many regimes are inside, by manifold; then a table for each manifold.

    A row of those holds all kinds and radii of one quantity in one dtype: of each implementation
    how many are inside, and its largest error in eps.
    """
    names, manifolds = table.names(), list(dict.fromkeys(x.regime.manifold for x in table.lines))
    parts = {m: Table([x for x in table.lines if x.regime.manifold == m]) for m in manifolds}
    out = ["| inside their limits | all | " + " | ".join(manifolds) + " |"]
    out.append("|---" * (2 + len(manifolds)) + "|")
    for name in names:
        out.append(f"| {name} | " + " | ".join(_share(t, name) for t in (table, *parts.values())))
        out[-1] += " |"
    for manifold, part in parts.items():
        shown = [n for n in names if part.counts(n)[1]]
        out += ["", f"### {manifold}", ""]
        out.append("| quantity | dtype | r | limit | " + " | ".join(shown) + " |")
        out.append("|---" * (4 + len(shown)) + "|")
        rows: dict[tuple[str, str, str], list[Line]] = {}
        for line in part.lines:
            r = line.regime
            rows.setdefault((r.quantity, r.part, r.dtype), []).append(line)
        for (quantity, kind, dtype), lines in rows.items():
            radii = _range([line.regime.r for line in lines])
            limits = _range([line.regime.limit for line in lines])
            cells = [_cell(Table(lines), name) for name in shown]
            label = quantity if kind == "value" else f"{quantity}, {kind}"
            out.append("| " + " | ".join([label, dtype, radii, limits, *cells]) + " |")
    return "\n".join(out)


def _range(values: list[float]) -> str:
    return " to ".join(dict.fromkeys(f"{v:g}" for v in (min(values), max(values))))


def _share(table: Table, name: str) -> str:
    inside, count = table.counts(name)
    return f"{inside}/{count}" if count else "-"


def _cell(table: Table, name: str) -> str:
    found = [line.errors[name] for line in table.lines if name in line.errors]
    return f"{_share(table, name)}: {_number(max(found))}" if found else "-"


def plain(table: Table) -> str:
    """The same for a terminal: one line a row, columns aligned, `!` where we miss a limit."""
    names = table.names()
    lines = []
    for row in _rows(table):
        missed = any(e > v for e, v in zip(row.errors[OURS], row.limits, strict=True))
        cells = "".join(
            f"{_number(max(row.errors[n])) if n in row.errors else '-':>10}" for n in names
        )
        manifold, quantity, part, kind, dtype = row.head
        label = f"{manifold:9} {quantity:23} {part:8} {kind:18} {dtype}"
        lines.append(f"{label} {max(row.limits):5g}{cells} {'!' if missed else ''}".rstrip())
    head = f"{'manifold':9} {'quantity':23} {'part':8} {'kind':18} {'dtype':7} {'limit':>5}"
    return "\n".join([head + "".join(f"{n:>10}" for n in names), *lines])
