"""report.html: one file that opens anywhere, offline, with or without JavaScript.

The page is a function of `Results` alone. Everything it needs is inside: one copy of plotly.js, the
pictures as data URIs, the numbers as results.json and results.csv.
"""

from dataclasses import dataclass
from pathlib import Path

from geomclip.names import family
from geomclip.results import METRICS, Results, Variant, write_file
from geomclip.viz import (
    ablation,
    curves,
    deviations,
    distances,
    dots,
    explorer,
    pages,
    standings,
    style,
    tables,
    verdict,
    walks,
)
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
    weights, counts = ablation.ablation(results), walks.counts(results)
    charts = [*training, *roots, *weights, *([counts] if counts else [])]
    atlas = results.spaces.get("atlas")
    return page.template.render(
        results=results,
        title=title(results),
        verdict=verdict.verdict(results),
        legend=legend(results),
        panels=dots.panels(results),
        blocks=tables.metric_blocks(results),
        used_metrics=[METRICS[m] for m in METRICS if any(r.metric == m for r in results.rows)],
        reference_names=list(tables.REFERENCES.values()),
        sections=sections(results),
        curves=training,
        roots=roots,
        explorer=explorer.context(atlas, results.spaces["notes"]) if atlas else None,
        counts=counts,
        ways=walks.table(results),
        strips=walks.strips(results),
        cones=tables.cone_table(results),
        has_entailed=any(v.entailment > 0 for v in results.variants),
        ablation=weights,
        weighed=[
            Legend(style.label(Variant(first.geometry)), style.colour(first), "solid")
            for first, *_ in ablation.weighed(results)
        ],
        seeds=standings.seeds(results),
        settings=deviations.deviations(results),
        variants=[(v.key, style.label(v)) for v in results.variants],
        gallery=results.gallery,
        facts=facts(results),
        environment=environment_table(results),
        links={"json": _json_link(results), "csv": pages.link("text/csv", results.to_csv())},
        count=style.count,
        palette=Markup(pages.palette({family(v.geometry) for v in results.variants})),
        figures=Markup(pages.embed({chart.id: chart.spec for chart in charts})),
        embedded=Markup(pages.embed(results.light())),
        atlas=Markup(pages.embed(atlas)) if atlas else "",
        explorer_script=Markup(explorer.script()),
        **page.common | {"style": page.common["style"] + Markup(explorer.style_sheet())},
    )


@dataclass(frozen=True)
class Section:
    """A heading of the page; `missing` says why it has no contents."""

    id: str
    title: str
    missing: str = ""


# What a results.json of an earlier version lacks.
EARLIER = "These results do not hold it: run the same command again to add it."


def sections(results: Results) -> dict[str, Section]:
    """By id, in the order of the page; those that nobody asked for are not there."""
    said = results.left_out
    curves_missing = distances_missing = cones_missing = ""
    if not any(len(run.curves) > 1 for run in results.runs):
        curves_missing = "The runs' folders hold no readable log of the training (metrics.jsonl)."
    if not any(run.distances for run in results.runs):
        distances_missing = "No run has root distances."
    if not any(run.cones for run in results.runs):
        cones_missing = (
            "Euclidean and hyperbolic geometries have entailment cones: none of them was run, or "
            "the pictures have no labels."
        )
    spaces = "" if results.spaces.get("atlas") else said.get("spaces", EARLIER)
    walked = "" if results.traversals else said.get("traversals", spaces or EARLIER)
    found = [
        Section("numbers", "Numbers"),
        Section("training", "Training", curves_missing),
        Section("root", "Distance to the root", distances_missing),
        Section("spaces", "The spaces, to look around in", spaces),
        Section("ways", "From a picture to the root", walked),
        Section("cones", "Entailment cones", cones_missing),
    ]
    if ablation.ablation(results):
        found.append(Section("ablation", "The weight of the entailment loss"))
    if results.gallery.get("items"):
        found.append(Section("pictures", "Pictures, and what each geometry called them"))
    found += [Section("settings", "Departures from the paper"), Section("repeat", "To repeat it")]
    return {section.id: section for section in found}


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


def _json_link(results: Results) -> str:
    return pages.link("application/json", pages.dump(results.light()))
