"""What traversals met, as a strip of texts for each picture, and how many, as a figure."""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import UInt8
from torch import Tensor

from geomclip.traverse import Traversal, TraversalStatistics
from geomclip.viz import style
from geomclip.viz.charts import Chart, Table, layout, rounded

# Strips on a page: their pictures stand inside it.
STRIPS = 60
THUMB = 96  # pixels

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Strip:
    """One way as it is shown.

    Args:
        title: what the picture is called.
        picture: as a data URI; "" where there is none.
        end: the same of where the way ends; "" for the root.
        way: what was met.
        kinds: of every text of the pool, what it is.
    """

    title: str
    picture: str
    end: str
    way: Traversal
    kinds: Sequence[str]


def thumbnail(image: UInt8[Tensor, "4 h w"]) -> str:
    """A picture as the data URI of a PNG, not larger than THUMB."""
    from PIL import Image

    picture = Image.fromarray(image.permute(1, 2, 0).cpu().numpy())
    if max(picture.size) > THUMB:
        picture.thumbnail((THUMB, THUMB))
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode("ascii")


def counts_chart(
    statistics: Mapping[str, TraversalStatistics],
    looks: Mapping[str, tuple[str, bool]] | None = None,
) -> Chart:
    """Share of the ways by the number of captions met, a row of bars a source (figure 5 of arXiv
    2409.13079, where the root is counted too).

    Args:
        looks: by source its colour, and whether its bars are hatched.
    """
    most = max(max(s.counts) for s in statistics.values())
    data, rows = [], []
    for name, s in statistics.items():
        shares = [100 * n / len(s.counts) for n in s.distribution]
        shares += [0.0] * (most + 1 - len(shares))
        colour, hatched = (looks or {}).get(name, ("var(--muted)", False))
        data.append(
            {
                "type": "bar",
                "x": list(range(most + 1)),
                "y": [rounded(v) for v in shares],
                "name": name,
                "marker": {"color": colour, "pattern": {"shape": "/" if hatched else ""}},
                "hovertemplate": "%{y:.1f} %",
            }
        )
        rows.append((name, *(f"{v:.1f}" for v in shares)))
    drawn = layout(x="captions met on the way to the root", y="% of ways")
    # As many marks as stand beside each other on a telephone.
    drawn["xaxis"]["dtick"] = max(1, math.ceil(most / 15))
    drawn["bargap"] = 0.25
    drawn["showlegend"] = len(statistics) > 1
    drawn["legend"] = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
    means = style.words(
        [f"{n or 'the space'} {s.captions.value:.2f}" for n, s in statistics.items()]
    )
    return Chart(
        id="captions-met",
        title="Captions met on the way to the root",
        alt=f"Distribution of the number of captions met; means: {means}.",
        spec={"data": data, "layout": drawn},
        table=Table(("% of ways", *(str(k) for k in range(most + 1))), tuple(rows)),
        wide=True,
    )


@dataclass(frozen=True)
class Bars:
    """One source's distribution, ready to draw: heights from 0 to 1 of the highest bar of all."""

    name: str
    heights: tuple[float, ...]
    labels: tuple[str, ...]
    summary: str


def bars(statistics: Mapping[str, TraversalStatistics]) -> list[Bars]:
    """The distributions on common axes."""
    chart = counts_chart(statistics)
    top = max(max(row["y"]) for row in chart.spec["data"]) or 1.0
    return [
        Bars(
            name=name,
            heights=tuple(v / top for v in row["y"]),
            labels=tuple(f"{v:.0f}" for v in row["y"]),
            summary="; ".join(f"{r.label}: {r.text}{' %' if r.is_share else ''}" for r in s.rows()),
        )
        for (name, s), row in zip(statistics.items(), chart.spec["data"], strict=True)
    ]


def render(
    title: str,
    facts: Sequence[tuple[str, str]],
    strips: Sequence[Strip],
    statistics: Mapping[str, TraversalStatistics],
) -> str:
    """The page: one file that opens offline and runs no script. Texts from outside are escaped.

    Args:
        strips: the first STRIPS are shown.
        statistics: by source; none for single pictures.
    """
    from markupsafe import Markup

    from geomclip.viz.pages import template, text_of

    return template("traversal.html.j2").render(
        policy=POLICY,
        title=title,
        facts=facts,
        strips=strips[:STRIPS],
        left_out=max(0, len(strips) - STRIPS),
        bars=bars(statistics) if statistics else [],
        shown=next(iter(statistics), ""),
        thumb=THUMB,
        style=Markup(text_of("report.css")),
    )
