"""The tables: rows down, measures across, mean ± standard deviation over seeds."""

from collections.abc import Sequence

from study import AVERAGE, OTHER, RETRIEVAL, Row, Study

from geomclip.results import METRICS
from geomclip.statistics import Estimate
from geomclip.viz import style
from geomclip.viz.charts import short
from geomclip.viz.markdown import cell, difference

MAIN = (
    "zeroshot_group_acc", "zeroshot_subgroup_acc", OTHER, "i2t_r1", RETRIEVAL, AVERAGE,
)  # fmt: skip
HIERARCHY = (
    "root_tau", "tau_texts", "farther", "overlap",
    "cone_own_group", "cone_other_group", "cone_aperture_group", "cone_auc_group",
)  # fmt: skip
TRAVERSALS = ("captions", "only_root", "distinct")
SCALARS = ("logit_scale", "c", "alpha_image", "alpha_text")
JUDGED = ("zeroshot_group_acc", "zeroshot_subgroup_acc", "i2t_r10", "t2i_r10", "root_tau")

NONE = "None of these cells is finished."

# Measures of this study, and the metric whose numbers theirs are written like.
LABELS: dict[str, tuple[str, str]] = {
    OTHER: ("Zero-shot group, novel, %", "i2t_r1"),
    RETRIEVAL: ("Retrieval, mean R@10, %", "i2t_r1"),
    AVERAGE: ("Average, %", "i2t_r1"),
    "tau_texts": ("τ of the texts alone", "root_tau"),
    "farther": ("P(picture farther than text)", "root_tau"),
    "overlap": ("Overlap of pictures and texts", "root_tau"),
    "captions": ("Captions met on a way", "root_tau"),
    "only_root": ("Ways that meet the root alone, %", "i2t_r1"),
    "distinct": ("Different captions met in all", ""),
    "logit_scale": ("logit_scale (log)", "root_tau"),
    "c": ("c", "root_tau"),
    "alpha_image": ("α, pictures", "root_tau"),
    "alpha_text": ("α, texts", "root_tau"),
}


def title(metric: str) -> str:
    """How a column is called, with its unit."""
    if metric in LABELS:
        return LABELS[metric][0]
    unit = style.unit(metric)
    return METRICS[metric].label + (f", {unit}" if unit else "")


def entry(found: Estimate | None, metric: str, seeds: int) -> str:
    """A number of the table."""
    like = LABELS[metric][1] if metric in LABELS else metric
    if found is not None and not like:
        return f"{found.mean:.0f}"
    return cell(found, like, seeds)


def table(study: Study, rows: Sequence[Row], metrics: Sequence[str]) -> str:
    """Of those measures that any cell has."""
    if not rows:
        return NONE
    metrics = [m for m in metrics if study.has(m)]
    lines = ["| | " + " | ".join(map(title, metrics)) + " |", "|---|" + "---:|" * len(metrics)]
    for row in rows:
        cells = [entry(study.estimate(row, m), m, study.seeds) for m in metrics]
        lines.append(f"| {row.label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def differences(
    study: Study, pairs: Sequence[tuple[Row, Row]], metrics: Sequence[str] = JUDGED
) -> str:
    """The first of each pair less the second, bold where it is beyond chance."""
    if not pairs:
        return NONE
    metrics = [m for m in metrics if study.has(m)]
    heads = [
        title(m).removesuffix(", %") + (", points" if style.unit(m) == "%" else "")
        for m in metrics
    ]  # fmt: skip
    lines = ["| | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(metrics)]
    for a, b in pairs:
        cells = [difference(study.estimate(a, m), study.estimate(b, m), m) for m in metrics]
        lines.append(f"| {a.label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def without_layernorm(study: Study) -> list[tuple[Row, Row]]:
    """Each row without final LayerNorm, and the same with it."""
    found = [
        (row, study.row(row.variant.geometry, row.variant.entailment))
        for row in study.chosen(layernorm=False)
    ]
    return [(a, b) for a, b in found if b is not None]


def with_entailment(study: Study) -> list[tuple[Row, Row]]:
    """Each row with entailment, and the same without."""
    found = [
        (row, study.row(row.variant.geometry, 0.0, row.layernorm))
        for row in study.chosen(entailed=True)
    ]
    return [(a, b) for a, b in found if b is not None]


def ends(study: Study) -> str:
    """Where the learned scalars ended, and what the trainer had to say."""
    lines = ["| | " + " | ".join(map(title, SCALARS)) + " | notes of the trainer |"]
    lines.append("|---|" + "---:|" * len(SCALARS) + "---|")
    for row in study.rows:
        found = [study.estimate(row, m) for m in SCALARS]
        cells = [short(e.mean) if e else "-" for e in found]
        counts: dict[str, int] = {}
        for run in study.of(row):
            for note in run["notes"]:
                counts[note] = counts.get(note, 0) + 1
        notes = "; ".join(f"{note} ({n} of {len(study.of(row))})" for note, n in counts.items())
        lines.append(f"| {row.label} | {' | '.join(cells)} | {notes} |")
    return "\n".join(lines)
