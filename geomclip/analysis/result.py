"""What an analysis gives back: named numbers with their errors, and a figure."""

import abc
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from geomclip.statistics import Measured

if TYPE_CHECKING:
    import plotly.graph_objects

    from geomclip.viz.charts import Chart


@dataclass(frozen=True)
class Row:
    """One number: `key` for programs, `label` for people; shares are drawn in per cent."""

    key: str
    label: str
    value: Measured
    unit: str = ""
    is_share: bool = False

    @property
    def text(self) -> str:
        """`41.2 ± 0.3`: value and standard error, as many digits as the error allows."""
        scale = 100 if self.is_share else 1
        value, error = self.value.value * scale, self.value.error
        if error is None:
            return number(value)
        if error == 0:  # every item says the same
            return f"{number(value)} ± 0"
        digits = significant(error * scale)
        if self.is_share:  # of what is next to never or always, a row of zeros says no more
            digits = min(digits, 3)
        return f"{value:.{digits}f} ± {error * scale:.{digits}f}".replace("-", "−")


class Result(abc.ABC):
    """The contract of a result: a frozen dataclass that gives rows and charts."""

    @abc.abstractmethod
    def rows(self) -> list[Row]:
        """Every number it found."""

    @abc.abstractmethod
    def charts(self) -> "list[Chart]":
        """Its figures, the most telling first; none where there is nothing to draw."""

    def notes(self) -> list[str]:
        """What a reader of the numbers has to know: samples, roots, what was left out."""
        return []

    def to_dict(self) -> dict[str, Any]:
        """Every row by its key, and the notes."""
        return {
            "rows": {row.key: row.value.to_dict() | {"unit": row.unit} for row in self.rows()},
            "notes": self.notes(),
        }

    def figure(self) -> "plotly.graph_objects.Figure":
        """The first chart, in the house's colours on light paper. Raises ValueError without one."""
        import plotly.graph_objects

        charts = self.charts()
        if not charts:
            raise ValueError(f"{type(self).__name__}: there is nothing to draw")
        spec = resolve(charts[0].spec)
        spec["layout"] |= {"title": {"text": charts[0].title, "font": {"size": 15}}}
        spec["layout"]["margin"] = {"l": 8, "r": 12, "t": 48, "b": 8}
        return plotly.graph_objects.Figure(spec)

    def _repr_html_(self) -> str:
        """Shown by notebooks: the numbers as a table."""
        body = "".join(
            f"<tr><th style='text-align:left'>{escape(row.label)}</th>"
            f"<td>{escape(row.text)}{' %' if row.is_share else ''} {escape(row.unit)}</td>"
            f"<td>n = {row.value.n:,}</td></tr>"
            for row in self.rows()
        )
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes())
        return f"<table>{body}</table>{notes}"


def significant(error: float) -> int:
    """Decimals that show two digits of an error."""
    if not (error > 0 and math.isfinite(error)):
        return 3
    return max(0, min(9, 1 - math.floor(math.log10(error))))


def number(value: float) -> str:
    """Four significant digits, counts in full, ∞ and "none" for what is no finite number."""
    if math.isnan(value):
        return "none"
    if math.isinf(value):
        return "−∞" if value < 0 else "∞"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}".replace("-", "−")
    return f"{value:.4g}".replace("-", "−")


# The variables of report.css on light paper, for figures outside of a page.
_LIGHT = {"paper": "#fdfdfb", "ink": "#1c1d20", "muted": "#63666d", "rule": "#dddcd6"}
_VARIABLE = re.compile(r"var\(--([\w-]+)(?:, ([\d.]+))?\)")


def resolve(value: Any) -> Any:
    """A chart's specification with colours in place of the page's variables."""
    from geomclip.viz.style import COLOURS

    if isinstance(value, str):
        found = _VARIABLE.fullmatch(value)
        if not found:
            return value
        name, opacity = found.groups()
        colour = COLOURS[name[2:]][0] if name.startswith("g-") else _LIGHT[name]
        if opacity is None:
            return colour
        red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
        return f"rgba({red},{green},{blue},{opacity})"
    if isinstance(value, Mapping):
        return {key: resolve(v) for key, v in value.items()}
    if isinstance(value, Sequence):
        return [resolve(v) for v in value]
    return value
