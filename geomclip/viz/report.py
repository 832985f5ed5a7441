"""report.html: one file that opens anywhere, offline, with or without JavaScript.

The page is a function of `Results` alone. Everything it needs is inside: one copy of plotly.js, the
pictures as data URIs, the numbers as results.json and results.csv.
"""

import base64
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from geomclip.names import family
from geomclip.results import METRICS, Results, Variant, finite, write_file
from geomclip.viz import curves, deviations, distances, dots, style, tables, verdict
from geomclip.viz.charts import Table

# No request leaves the page: not even a mistake in it could make one.
POLICY = (
    "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
)


@dataclass(frozen=True)
class Legend:
    """A variant as the charts draw it."""

    label: str
    colour: str
    dash: str


def render(results: Results) -> str:
    """The page. All texts from outside (captions, labels, paths) are escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    folder = resources.files("geomclip.viz")
    with resources.as_file(folder) as path:
        environment = Environment(
            loader=FileSystemLoader(path),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        template = environment.get_template("report.html.j2")
        style_sheet = (path / "report.css").read_text(encoding="utf-8")
        script = (path / "report.js").read_text(encoding="utf-8")
    training, roots = curves.curves(results), distances.root_distances(results)
    return template.render(
        results=results,
        policy=POLICY,
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
        links={"json": _json_link(results), "csv": _link("text/csv", results.to_csv())},
        count=style.count,
        palette=Markup(palette(results)),
        style=Markup(style_sheet),
        script=Markup(script),
        plotly=Markup(get_plotlyjs()),
        figures=Markup(embed({chart.id: chart.spec for chart in [*training, *roots]})),
        embedded=Markup(embed(_light(results))),
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


def palette(results: Results) -> str:
    """CSS that defines each geometry's colour on light and dark paper."""
    names = sorted({family(v.geometry) for v in results.variants})
    light, dark = (
        "".join(f"--g-{name}:{style.COLOURS[name][side]};" for name in names) for side in (0, 1)
    )
    night = "@media screen and (prefers-color-scheme:dark){:root:not(.light){" + dark + "}}"
    return f":root{{{light}}}{night}"


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


def dump(value: Any) -> str:
    """Compact JSON without NaN."""
    return json.dumps(finite(value), separators=(",", ":"), ensure_ascii=False)


def embed(value: Any) -> str:
    """JSON that can stand inside a script element."""
    # Inside <script>, "<" could end the element or open a comment; JSON has it in strings only.
    return dump(value).replace("<", "\\u003c")


def _light(results: Results) -> dict[str, Any]:
    """results.json without the pictures, which the page shows already."""
    values = results.to_dict()
    gallery = {k: v for k, v in values["gallery"].items() if k != "pictures"}
    return values | {"gallery": gallery}


def _json_link(results: Results) -> str:
    return _link("application/json", dump(_light(results)))


def _link(kind: str, text: str) -> str:
    encoded = base64.b64encode(text.encode("utf-8")).decode("ascii")
    return f"data:{kind};charset=utf-8;base64,{encoded}"
