"""The report's traversals: how many captions are met (figure 5 of arXiv 2409.13079), and strips."""

from dataclasses import dataclass
from typing import Any

from geomclip.results import Results, Variant
from geomclip.traverse import ROOT, TraversalStatistics
from geomclip.viz import style
from geomclip.viz.charts import Chart, Table
from geomclip.viz.traversal import counts_chart


@dataclass(frozen=True)
class Met:
    """A text on a strip; `root` for the root."""

    text: str
    root: bool


@dataclass(frozen=True)
class Strip:
    """A picture of the gallery and what it meets, by variant (None where it does not walk)."""

    item: dict[str, Any]
    ways: tuple[tuple[Variant, tuple[Met, ...] | None], ...]


def statistics(results: Results) -> dict[Variant, TraversalStatistics]:
    """By variant, in the order of the request."""
    return {
        v: TraversalStatistics.from_dict(results.traversals[v.key])
        for v in results.variants
        if v.key in results.traversals
    }


def counts(results: Results) -> Chart | None:
    """The distribution of the number of texts met; None without traversals."""
    found = {style.label(v): s for v, s in statistics(results).items()}
    looks = {style.label(v): (style.colour(v), v.entailment > 0) for v in results.variants}
    return counts_chart(found, looks) if found else None


def table(results: Results) -> Table:
    """Captions met a way, ways that meet none, different captions."""
    rows = []
    for variant, s in statistics(results).items():
        captions, alone = (row.text for row in s.rows())
        rows.append(
            (
                style.label(variant),
                captions,
                alone,
                f"{style.count(s.distinct)} of {style.count(s.pool)}",
                style.count(len(s.counts)),
            )
        )
    columns = (
        "Geometry", "Captions met on a way", "Ways that meet the root alone, %",
        "Different captions met", "Ways",
    )  # fmt: skip
    return Table(columns, tuple(rows))


def strips(results: Results) -> list[Strip]:
    """The gallery's pictures with what they meet; those with no way at all are left out."""
    found = []
    for place, item in enumerate(results.gallery.get("items", [])):
        ways = []
        for variant in results.variants:
            own = results.traversals.get(variant.key, {}).get("strips", [])
            way = own[place] if place < len(own) else None
            ways.append((variant, None if way is None else tuple(map(_met, way))))
        if any(way is not None for _, way in ways):
            found.append(Strip(item, tuple(ways)))
    return found


def _met(entry: list[Any]) -> Met:
    text = str(entry[0])
    return Met("the root" if text == ROOT else text, text == ROOT)
