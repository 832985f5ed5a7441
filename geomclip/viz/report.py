"""report.html: one file that opens anywhere, offline, with or without JavaScript.

The page is a function of `Results` alone. Everything it needs is inside: one copy of plotly.js, the
pictures as data URIs, the numbers as results.json and results.csv.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geomclip.names import family
from geomclip.results import METRICS, Results, Variant, write_file
from geomclip.viz import curves, deviations, distances, dots, pages, style, tables, verdict
from geomclip.viz.charts import Table


@dataclass(frozen=True)
class Legend:
    """A variant as the charts draw it."""

    label: str
    colour: str
    dash: str


def render(results: Results) -> str:
    """The page. All texts from outside (captions, labels, paths) are escaped."""
    from markupsafe import Markup

    page = pages.open_page("report.html.j2")
    training, roots = curves.curves(results), distances.root_distances(results)
    return page.template.render(
        results=results,
        title=title(results),
        verdict=verdict.verdict(results),
        legend=legend(results),
        panels=dots.panels(results),
        blocks=tables.metric_blocks(results),
        used_metrics=[METRICS[m] for m in METRICS if any(r.metric == m for r in results.rows)],
        reference_names=list(tables.REFERENCES.values()),
        curves=training,
        roots=roots,
        cones=tables.cone_table(results),
        settings=deviations.deviations(results),
        variants=[(v.key, style.label(v)) for v in results.variants],
        gallery=results.gallery,
        facts=facts(results),
        environment=environment_table(results),
        links={"json": _json_link(results), "csv": pages.link("text/csv", results.to_csv())},
        count=style.count,
        palette=Markup(pages.palette({family(v.geometry) for v in results.variants})),
        figures=Markup(pages.embed({chart.id: chart.spec for chart in [*training, *roots]})),
        embedded=Markup(pages.embed(_light(results))),
        **page.common,
    )


def write_report(results: Results, path: Path) -> None:
    """Write the page, whole or not at all. Raises GeomclipError when it can't be written."""
    write_file(Path(path), render(results))


def title(results: Results) -> str:
    """`CLIP, EuCLIP and MERU on the same pictures`."""
    plain = list(dict.fromkeys(Variant(v.geometry) for v in results.variants))
    names = style.words([style.label(v) for v in plain])
    return f"{names} on the same pictures" if len(plain) > 1 else f"{names} on its own"


def legend(results: Results) -> list[Legend]:
    """The variants with colour and line pattern, in the order of the request."""
    return [
        Legend(style.label(v), style.colour(v), curves.line_pattern(results, v))
        for v in results.variants
    ]


def facts(results: Results) -> list[tuple[str, str]]:
    """What stands under the title: data, budget, seeds, date."""
    settings, data = results.settings, results.data
    runs = results.runs
    steps = sorted({run.config["steps"] for run in runs})
    batch = sorted({run.config["batch_size"] for run in runs})
    seeds = len({run.seed for run in runs})
    found = [
        ("Data", f"{data['name']}, {style.count(int(data['train']))} training pictures"),
        (
            "Budget",
            f"{' or '.join(map(style.count, steps))} steps of {' or '.join(map(str, batch))} pairs"
            " each",
        ),
        ("Runs", f"{len(runs)}, {seeds} seed{'s' if seeds != 1 else ''}"),
    ]
    cpu = [row.value for row in results.rows if row.metric == "train_cpu_seconds"]
    if cpu:
        found.append(("Training", f"{style.count(round(sum(cpu)))} CPU seconds in all"))
    found.append(("Made", f"{settings['created']}, geomclip {results.environment['geomclip']}"))
    return found


def environment_table(results: Results) -> Table:
    """Versions and machine."""
    rows = tuple((str(k), str(v)) for k, v in results.environment.items())
    return Table(("What", "Which"), rows)


def _light(results: Results) -> dict[str, Any]:
    """results.json without the pictures, which the page shows already."""
    values = results.to_dict()
    gallery = {k: v for k, v in values["gallery"].items() if k != "pictures"}
    return values | {"gallery": gallery}


def _json_link(results: Results) -> str:
    return pages.link("application/json", pages.dump(_light(results)))
