"""analysis.html: what one or several spaces look like, as one offline file."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from geomclip import __version__
from geomclip.names import factors, family, known
from geomclip.viz import pages, style
from geomclip.viz.charts import Chart, Table
from geomclip.viz.densities import name_of

if TYPE_CHECKING:
    from geomclip.analysis.table import Report


@dataclass(frozen=True)
class Section:
    """One question: the numbers of all spaces side by side, then their figures."""

    name: str
    title: str
    about: str
    table: Table
    charts: list[Chart]
    notes: list[str]


def render(reports: Mapping[str, "Report"]) -> str:
    """The page of some reports by the name of their source; texts from outside are escaped."""
    from markupsafe import Markup

    page = pages.open_page("analysis.html.j2")
    found = sections(reports)
    names = {r.embeddings["geometry"] for r in reports.values()}
    families = {family(name) for name in names if known(name) or factors(name)}
    charts = [chart for section in found for chart in section.charts]
    values = {name: report.to_dict() for name, report in reports.items()}
    return page.template.render(
        version=__version__,
        title=title(reports),
        spaces=spaces(reports),
        sections=found,
        palette=Markup(pages.palette(families)),
        figures=Markup(pages.embed({chart.id: chart.spec for chart in charts})),
        json=pages.link("application/json", pages.dump(values)),
        **page.common,
    )


def title(reports: Mapping[str, "Report"]) -> str:
    """`What meru.safetensors looks like`."""
    if len(reports) == 1:
        return f"What {next(iter(reports))} looks like"
    return f"{style.words(list(reports))}, side by side"


def spaces(reports: Mapping[str, "Report"]) -> Table:
    """Geometry, dimension and points of each source."""
    rows = []
    for name, report in reports.items():
        about = report.embeddings
        points = ", ".join(f"{style.count(n)} {m}" for m, n in about["points"].items())
        c = ", ".join(f"{v:.4g}" for k, v in about.items() if k.split(".")[-1] == "c")
        rows.append((name, name_of(about["geometry"]), c or "–", str(about["dim"]), points))
    return Table(("Source", "Geometry", "c", "Dimension", "Points"), tuple(rows))


def sections(reports: Mapping[str, "Report"]) -> list[Section]:
    """One for every analysis that answered for one of them at least."""
    from geomclip.analysis.table import ANALYSES

    out = []
    for name, analysis in ANALYSES.items():
        results = {s: r.results[name] for s, r in reports.items() if name in r.results}
        if not results:
            continue
        charts = []
        for i, (source, result) in enumerate(results.items()):
            for k, chart in enumerate(result.charts()):
                title = f"{chart.title} ({source})" if len(reports) > 1 else chart.title
                charts.append(dataclasses.replace(chart, id=f"{name}-{i}-{k}", title=title))
        notes: list[str] = []
        for source, result in results.items():
            prefix = f"{source}: " if len(reports) > 1 else ""
            notes += [prefix + note for note in result.notes()]
        missing = [f"{s}: {r.left_out[name]}." for s, r in reports.items() if name in r.left_out]
        table = side_by_side({s: reports[s] for s in results}, name)
        out.append(Section(name, analysis.title, analysis.about, table, charts, [*notes, *missing]))
    return out


def side_by_side(reports: Mapping[str, "Report"], name: str) -> Table:
    """The rows of one analysis, a column a source; "–" where a source has no such number."""
    labels: dict[str, str] = {}
    cells: dict[tuple[str, str], str] = {}
    for source, report in reports.items():
        for row in report.results[name].rows():
            unit = "%" if row.is_share else row.unit
            labels.setdefault(row.key, f"{row.label}, {unit}" if unit else row.label)
            cells[row.key, source] = row.text
    rows = tuple(
        (label, *(cells.get((key, source), "–") for source in reports))
        for key, label in labels.items()
    )
    return Table(("Measure", *reports), rows)


def text_table(reports: Mapping[str, "Report"]) -> list[tuple[str, Table]]:
    """Titles and tables for a terminal."""
    return [(section.title, section.table) for section in sections(reports)]
