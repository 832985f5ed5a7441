"""What the paper says, and whether these runs say so too: sentences with the numbers in them."""

from collections.abc import Sequence

from study import Row, Study
from tables import LABELS, title, with_entailment, without_layernorm

from geomclip.names import canonical
from geomclip.statistics import ahead_on_these_items, beats
from geomclip.viz import style
from geomclip.viz.markdown import difference

ZEROSHOT = ("zeroshot_group_acc", "zeroshot_subgroup_acc")
ORDER = ("root_tau", "cone_auc_group")
DISTANCE_LOGITS = (
    "elliptic", "euclidean", "euclidean-squared", "hyperbolic", "hyperbolic-squared",
)  # fmt: skip

NOTHING = "Not judged: none of these cells is finished, or their data have no labels to ask about."

Pair = tuple[Row | None, Row | None]


def judge(study: Study, a: Row, b: Row, metric: str) -> int | None:
    """1 where a lies above b beyond chance, -1 below, 0 neither; None where that is not known.

    With one seed, of shares: beyond what another choice of pictures would change.
    """
    x, y = study.estimate(a, metric), study.estimate(b, metric)
    if x is None or y is None:
        return None
    if x.spread is not None and y.spread is not None:
        return int(beats(x, y)) - int(beats(y, x))
    if x.item_error is None or y.item_error is None:
        return None
    return int(ahead_on_these_items(x, y)) - int(ahead_on_these_items(y, x))


def once(study: Study, pairs: Sequence[tuple[Row, Row]]) -> str:
    """What to add where some of these rows have one seed."""
    alone = sum(len(study.of(a)) < 2 or len(study.of(b)) < 2 for a, b in pairs)
    if not alone:
        return ""
    which = "All" if alone == len(pairs) else f"{alone} of {len(pairs)} comparisons"
    return f" {which} rest on one seed, of which only the choice of pictures is judged."


def numbers(study: Study, a: Row, b: Row, metrics: Sequence[str]) -> str:
    """`EuCLIP − CLIP: zero-shot group −0.3 ± 2.5 points, ...`; "" where nothing is measured."""
    parts = []
    for metric in metrics:
        found = difference(study.estimate(a, metric), study.estimate(b, metric), metric)
        if found != "-":
            unit = " points" if style.unit(metric) == "%" else ""
            parts.append(f"{title(metric).removesuffix(', %')} {found}{unit}")
    return f"{a.label} − {b.label}: {', '.join(parts)}" if parts else ""


def verdict(study: Study, pairs: Sequence[Pair], metrics: Sequence[str]) -> tuple[str, list[str]]:
    """Whether the first of each pair is at least as high as the second, and the numbers."""
    whole = [(a, b) for a, b in pairs if a and b]
    found = [judge(study, a, b, m) for a, b in whole for m in metrics]
    known = [v for v in found if v is not None]
    said = [text for a, b in whole if (text := numbers(study, a, b, metrics))]
    if not said:
        return NOTHING, said
    if not known:
        return "Not judged: chance is not known from one seed.", said
    above, below = known.count(1), known.count(-1)
    n = len(known)
    if below and above:
        word = f"Mixed: of {n} differences {above} are positive beyond chance and {below} negative."
    elif below:
        word = (
            f"Does not agree: of {n} differences {below} are negative beyond chance, none positive."
        )
    elif above:
        word = f"Agrees: of {n} differences {above} are positive beyond chance, none negative."
    else:
        word = f"Nothing against it: of {n} differences none is beyond chance."
    return word + once(study, whole), said


def changes(study: Study, pairs: Sequence[tuple[Row, Row]], metrics: Sequence[str]) -> str:
    """How many differences are beyond chance, which way, and the largest."""
    found = [(a, b, m, judge(study, a, b, m)) for a, b in pairs for m in metrics]
    known = [(a, b, m, v) for a, b, m, v in found if v is not None]
    if not known:
        return "not judged."
    up, down = (
        [numbers(study, a, b, [m]) for a, b, m, v in known if v == sign] for sign in (1, -1)
    )
    text = f"{len(up)} of {len(known)} upwards beyond chance, {len(down)} downwards"
    shown = [*up, *down]
    return text + (f" ({'; '.join(shown)})" if shown else "") + "." + once(study, pairs)


def claims(study: Study) -> str:
    """The list."""
    row = study.row
    sections = []

    def add(claim: str, word: str, said: Sequence[str]) -> None:
        lines = [f"- {line.removesuffix('.')}." for line in said]
        sections.append(
            "\n\n".join([f"**{claim}** {word}", *(["\n".join(lines)] if lines else [])])
        )

    pairs: list[Pair] = [
        (row("euclip"), row("clip")),
        (row("euclip", layernorm=False), row("clip")),
        (row("euclip", layernorm=False), row("clip", layernorm=False)),
    ]
    add("EuCLIP matches or exceeds CLIP in zero-shot classification.",
        *verdict(study, pairs, ZEROSHOT))  # fmt: skip

    weights = sorted({r.variant.entailment for r in study.rows})
    pairs = [(row("euclip", w, ln), row("meru", w, ln)) for w in weights for ln in (True, False)]
    add("EuCLIP supports hierarchy at least as well as MERU.", *verdict(study, pairs, ORDER))

    off = without_layernorm(study)
    add("Models without final LayerNorm are comparable to CLIP.",
        "Here: without less with it, by geometry.",
        [f"Zero-shot groups and subgroups: {changes(study, off, ZEROSHOT)}",
         f"Image → text R@10: {changes(study, off, ['i2t_r10'])}"])  # fmt: skip
    distance = [(a, b) for a, b in off if canonical(a.variant.geometry) in DISTANCE_LOGITS]
    other = [(a, b) for a, b in off if canonical(a.variant.geometry) not in DISTANCE_LOGITS]
    add("The final LayerNorm hurts the geometries whose logit is a distance.",
        "(Weakly attested.) If so, leaving it out helps those and not the others.",
        [f"Distance logits, zero-shot: {changes(study, distance, ZEROSHOT)}",
         f"The others, zero-shot: {changes(study, other, ZEROSHOT)}"])  # fmt: skip

    entailed = with_entailment(study)
    add("The entailment loss improves zero-shot classification.",
        *verdict(study, entailed, ZEROSHOT))  # fmt: skip
    add("It makes no concentric rings around the root.", *rings(study))
    sections.append(
        "**Euclidean distance has better nearest-neighbour libraries than hyperbolic distance.** "
        "Not a question for a training run, and not asked here."
    )
    return "\n\n".join(sections)


def rings(study: Study) -> tuple[str, list[str]]:
    """Order of the texts' levels, and overlap with the pictures, of the entailed rows."""
    said = []
    ordered = apart = count = 0
    for row in study.chosen(entailed=True):
        tau, over = study.estimate(row, "tau_texts"), study.estimate(row, "overlap")
        if tau is None or over is None:
            continue
        count += 1
        ordered += tau.mean > 0.8
        apart += over.mean < 0.05
        medians = study.of(row)[0]["roots"]["median"]
        levels = [k for k in medians if k.startswith("label")] + ["image"]
        shown = ", ".join(f"{k.removeprefix('label: ')} {medians[k]:.3g}" for k in levels)
        said.append(
            f"{row.label}: τ of the texts alone {style.number(tau.mean, LABELS['tau_texts'][1])}, "
            f"overlap with pictures {style.number(over.mean, LABELS['overlap'][1])}; medians "
            f"(first seed) {shown}"
        )
    word = (
        "Rings would have each level at a distance of its own: τ of the texts near 1, no overlap. "
        f"τ of the texts alone is above 0.8 in {ordered} of {count} rows; pictures and texts "
        f"overlap by less than 0.05 in {apart}."
    )
    return (word, said) if count else ("Not judged: no entailed rows with labels.", said)
