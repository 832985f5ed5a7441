"""Cells of Markdown tables: a mean with its spread, a difference with what chance allows."""

from geomclip.statistics import Estimate, beats, item_margin, welch_margin
from geomclip.viz import style


def cell(found: Estimate | None, metric: str, seeds: int) -> str:
    """`20.1 ± 0.4`, and over how many seeds where they are not all that there are."""
    if found is None:
        return "-"
    text = style.number(found.mean, metric)
    if found.spread is not None:
        text += f" ± {style.number(found.spread, metric)}"
    return text if found.seeds == seeds else f"{text} (n = {found.seeds})"


def difference(a: Estimate | None, b: Estimate | None, metric: str) -> str:
    """`**+3.1 ± 1.2**`: bold where neither seeds nor test items give it by chance (95 %)."""
    if a is None or b is None:
        return "-"
    text = ("−" if a.mean < b.mean else "+") + style.number(abs(a.mean - b.mean), metric)
    margins = [m for m in (welch_margin(a, b), item_margin(a, b)) if m is not None]
    if a.spread is None or b.spread is None:
        return text
    text = f"{text} ± {style.number(max(margins), metric)}"
    return f"**{text}**" if beats(a, b) or beats(b, a) else text
