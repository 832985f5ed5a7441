"""Results as rows of text: for the terminal and for the docs."""

from collections.abc import Sequence

from geomclip.bench.config import Case, gib
from geomclip.bench.result import Result

HEADER = (
    "competitor", "ms", "/ floor", "geomclip / it", "memory", "error", "gradient", "repaired",
)  # fmt: skip


def groups(results: Sequence[Result]) -> dict[tuple[Case, str], list[list[str]]]:
    """Rows by case and by what was timed; a case's memory stands beside its last passes."""
    peaks = {(r.case, r.competitor): r for r in results if r.what == "memory"}
    timed = [r for r in results if r.what != "memory"]
    found: dict[tuple[Case, str], list[list[str]]] = {}
    for r in timed:
        with_memory = r.what == "forward + backward"
        peak = peaks.pop((r.case, r.competitor), None) if with_memory else None
        found.setdefault((r.case, r.what), []).append(row(r, peak))
    for (case, _), r in peaks.items():
        found.setdefault((case, "memory"), []).append(row(r, r))
    return found


def row(result: Result, peak: Result | None) -> list[str]:
    """The cells of `HEADER`."""
    r = result
    size = "-" if peak is None or peak.bytes is None else gib(peak.bytes)
    errors = (r.error.value, r.error.gradient) if r.error else (None, None)
    return [
        r.competitor,
        f"{1e3 * r.seconds.median:.2f}" if r.seconds else "-",
        str(r.over_floor) if r.over_floor else "-",
        str(r.ours_over) if r.ours_over and r.competitor != "geomclip" else "-",
        size,
        *(f"{e:.0e}" if e is not None else "-" for e in errors),
        f"{r.repaired:.2%}" if r.repaired is not None else "-",
    ]


def notes(results: Sequence[Result]) -> list[str]:
    """Who is left out, and why, once each."""
    return list(dict.fromkeys(f"{r.competitor}: {r.note}" for r in results if r.note))


def markdown(results: Sequence[Result]) -> str:
    """A table for every case and pass, with its notes."""
    out = []
    for (case, what), rows in groups([r for r in results if not r.note]).items():
        out += [
            f"**{case}**, {what}, {case.dtype}, {case.threads} "
            f"thread{'s' if case.threads > 1 else ''}",
            "",
            f"| {' | '.join(HEADER)} |",
            "|---|" + "---:|" * (len(HEADER) - 1),
            *(f"| {' | '.join(cells)} |" for cells in rows),
            "",
        ]
    return "\n".join([*out, *(f"- {text}" for text in notes(results))])
