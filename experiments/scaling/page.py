"""The tables and plots of docs/scaling.md, from the lines of the results; nothing is typed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import plot

from geomclip.data import emoji
from geomclip.pages import written
from geomclip.results import METRICS, Variant
from geomclip.statistics import Estimate, estimate
from geomclip.viz import style
from geomclip.viz.markdown import cell, difference

DOCS = Path(__file__).parents[2] / "docs"
PAGE, IMAGES = DOCS / "scaling.md", DOCS / "images"

SPLIT = "heldout_rendition"
MAIN = ("i2t_r1", "i2t_r10", "t2i_r10", "zeroshot_group_acc", "root_tau")
DRAWN = ("i2t_r1", "i2t_r10", "zeroshot_group_acc", "root_tau")
JUDGED = ("i2t_r10", "zeroshot_group_acc", "root_tau")
CONES = ("cone_own_group", "cone_other_group", "cone_aperture_group", "cone_auc_group")

Line = dict[str, Any]


class Study:
    """The results by variant and place.

    Args:
        lines: those of scaling.jsonl.
        items: pictures asked about: shares are of these.
    """

    def __init__(self, lines: Sequence[Line], items: int) -> None:
        self.lines, self.items = lines, items
        self.seeds = len({line["seed"] for line in lines})
        self.variants = list(dict.fromkeys(variant_of(line) for line in lines))
        batches = [line["batch_size"] for line in lines]
        dims = [line["dim"] for line in lines]
        # The two axes cross where most cells are.
        self.batch = max(set(batches), key=batches.count)
        along = [line["dim"] for line in lines if line["batch_size"] != self.batch]
        self.dim = along[0] if along else dims[0]
        self.dims = sorted({d for d, b in zip(dims, batches, strict=True) if b == self.batch})
        self.batches = sorted({b for d, b in zip(dims, batches, strict=True) if d == self.dim})

    def estimate(self, variant: Variant, metric: str, dim: int, batch: int) -> Estimate | None:
        """Mean and spread over the seeds; None where nothing was measured."""
        name = f"{SPLIT}/{metric}"
        values = [
            line["metrics"][name]
            for line in self.lines
            if variant_of(line) == variant
            and (line["dim"], line["batch_size"]) == (dim, batch)
            and name in line["metrics"]
        ]
        share = METRICS[metric].kind == "share" and metric != "cone_other_group"
        return estimate(values, self.items if share else None) if values else None

    def along(self, axis: str) -> list[tuple[int, int, int]]:
        """(value on the axis, dimension, batch) of the places along `dim` or `batch`."""
        if axis == "dim":
            return [(dim, dim, self.batch) for dim in self.dims]
        return [(batch, self.dim, batch) for batch in self.batches]


def variant_of(line: Line) -> Variant:
    return Variant(line["geometry"], line["entailment"])


def table(study: Study, axis: str, metrics: Sequence[str], variants: Sequence[Variant]) -> str:
    """Variants down, the axis across, a block a metric: mean ± standard deviation over seeds."""
    places = study.along(axis)
    lines = [f"| {axis_title(axis)} | " + " | ".join(str(p[0]) for p in places) + " |"]
    lines.append("|---|" + "---:|" * len(places))
    for metric in metrics:
        unit = style.unit(metric)
        title = METRICS[metric].label + (f", {unit}" if unit else "")
        lines.append(f"| **{title}** |" + " |" * len(places))
        for variant in variants:
            found = [study.estimate(variant, metric, dim, batch) for _, dim, batch in places]
            if any(found):
                cells = " | ".join(cell(e, metric, study.seeds) for e in found)
                lines.append(f"| {style.label(variant)} | {cells} |")
    return "\n".join(lines)


def contrasts(variants: Sequence[Variant]) -> list[tuple[Variant, Variant]]:
    """Every two geometries without entailment, and each geometry with against without."""
    plain = [v for v in variants if v.entailment == 0]
    pairs = [(b, a) for i, a in enumerate(plain) for b in plain[i + 1 :]]
    return pairs + [(v, p) for v in variants for p in plain if v.entailment and _same(v, p)]


def _same(a: Variant, b: Variant) -> bool:
    return a.geometry == b.geometry


def differences(study: Study, axis: str) -> str:
    """Differences of means with the half width of their 95 % interval, bold beyond it."""
    places = study.along(axis)
    lines = [f"| {axis_title(axis)} | " + " | ".join(str(p[0]) for p in places) + " |"]
    lines.append("|---|" + "---:|" * len(places))
    for metric in JUDGED:
        unit = style.unit(metric)
        title = METRICS[metric].label + (f", {unit} points" if unit else "")
        lines.append(f"| **{title}** |" + " |" * len(places))
        for a, b in contrasts(study.variants):
            cells = [
                difference(
                    study.estimate(a, metric, dim, batch),
                    study.estimate(b, metric, dim, batch),
                    metric,
                )
                for _, dim, batch in places
            ]
            lines.append(f"| {style.label(a)} − {style.label(b)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def axis_title(axis: str) -> str:
    return {"dim": "Embedding dimension", "batch": "Batch"}[axis]


def panels(
    study: Study, axis: str, metrics: Sequence[str], variants: Sequence[Variant]
) -> list[plot.Panel]:
    """A panel a metric."""
    result = []
    for metric in metrics:
        series = []
        for variant in variants:
            found = [(x, study.estimate(variant, metric, d, b)) for x, d, b in study.along(axis)]
            points = tuple((float(x), e.mean, e.spread or 0.0) for x, e in found if e is not None)
            if points:
                series.append(plot.Series(variant, points))
        unit = style.unit(metric)
        title = METRICS[metric].label + (f", {unit}" if unit else "")
        result.append(plot.Panel(title, tuple(series), 100.0 if unit == "%" else 1.0))
    return result


def cost(lines: Sequence[Line]) -> str:
    """What the study took."""
    spent = sum(line["train_cpu_seconds"] + line["evaluation_cpu_seconds"] for line in lines)
    parameters = sorted({line["parameters"] for line in lines})
    return (
        f"{len(lines)} models of {style.count(parameters[0])} to {style.count(parameters[-1])} "
        f"parameters, {len({line['seed'] for line in lines})} seeds: {spent / 60:.0f} CPU minutes "
        "in one thread."
    )


def rendered(text: str, study: Study) -> str:
    """The page with its tables written anew."""
    entailed = [v for v in study.variants if v.entailment]
    text = written(text, "cost", cost(study.lines))
    for axis in ("dim", "batch"):
        text = written(text, axis, table(study, axis, MAIN, study.variants))
        text = written(text, f"{axis}-differences", differences(study, axis))
        text = written(text, f"{axis}-cones", table(study, axis, CONES, entailed))
    return text


def drawn(study: Study) -> dict[str, str]:
    """The plots by file name."""
    entailed = [v for v in study.variants if v.entailment]
    plots = {
        f"scaling-{axis}.svg": plot.svg(
            panels(study, axis, DRAWN, study.variants),
            title=f"Retrieval, zero-shot groups and root order by {axis_title(axis).lower()}",
            x=f"{axis_title(axis).lower()} (log scale)",
        )
        for axis in ("dim", "batch")
    }
    plots["scaling-cones.svg"] = plot.svg(
        panels(study, "dim", CONES, entailed),
        title="Cones of the group labels by embedding dimension, trained with entailment",
        x="embedding dimension (log scale)",
    )
    return plots


def write(lines: Sequence[Line]) -> None:
    """Write the page's tables and draw its plots."""
    study = Study(lines, items())
    text = rendered(PAGE.read_text(encoding="utf-8"), study)
    PAGE.write_text(text, encoding="utf-8")
    for name, picture in drawn(study).items():
        (IMAGES / name).write_text(picture, encoding="utf-8")


def items() -> int:
    """Pictures that the embedded set's held-out rendition asks about."""
    return sum(not emoji.is_novel(r.id) for r in emoji.read_rendition("twemoji"))
