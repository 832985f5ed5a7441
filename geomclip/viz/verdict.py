"""The verdict in words, made from the numbers: who leads, and whether that may be said."""

from dataclasses import dataclass

from geomclip.results import Results, Variant
from geomclip.viz import style, verdict_hierarchy
from geomclip.viz.standings import Finding, Standing, numbers, relation, seeds, standing

# What the headline speaks of, in words that fit "leads in ...".
HEADLINE = {
    "i2t_r10": "finding a picture's name",
    "t2i_r10": "finding a name's picture",
    "zeroshot_subgroup_acc": "zero-shot subgroups",
    "zeroshot_group_acc": "zero-shot groups",
}


@dataclass(frozen=True)
class Verdict:
    """The headline, what stands behind it, and what limits it."""

    headline: str
    findings: tuple[Finding, ...]
    limits: tuple[str, ...]


def verdict(results: Results) -> Verdict:
    """Words for the numbers of a comparison."""
    plain = [v for v in results.variants if v.entailment == 0] or results.variants
    split = results.splits[0] if results.splits else ""
    standings = {
        metric: found
        for metric in HEADLINE
        if (found := standing(results, split, metric, plain)) is not None
    }
    findings = [
        _retrieval(results, split, standings),
        _classes(results, split, standings),
        _unseen(results, plain),
        *verdict_hierarchy.findings(results, split, plain),
    ]
    return Verdict(
        _headline(results, standings, plain),
        tuple(f for f in findings if f is not None),
        _limits(results),
    )


def _headline(results: Results, standings: dict[str, Standing], plain: list[Variant]) -> str:
    if not standings:
        return "The runs left no numbers to compare."
    if len(plain) < 2:
        name = style.label(plain[0])
        return f"{name} was trained alone: there is nothing to compare it with."
    led: dict[Variant, list[str]] = {}
    for metric, found in standings.items():
        if found.leader is not None:
            led.setdefault(found.leader, []).append(HEADLINE[metric])
    if seeds(results) < 2:
        return _headline_one_seed(led, len(standings))
    if not led:
        return (
            "No geometry is clearly ahead: every difference lies within what seeds and test items "
            "give by chance."
        )
    if len(led) == 1 and len(next(iter(led.values()))) == len(standings):
        name = style.label(next(iter(led)))
        return f"{name} leads on every headline measure, by more than chance gives."
    leads = [f"{style.label(v)} leads in {style.words(w)}" for v, w in led.items()]
    rest = len(standings) - sum(map(len, led.values()))
    tail = "; on the other measures no geometry is clearly ahead." if rest else "."
    return "; ".join(leads) + tail


def _headline_one_seed(led: dict[Variant, list[str]], measures: int) -> str:
    if not led:
        return (
            "One seed, and no geometry ahead of all the others by more than the choice of test "
            "items gives by chance."
        )
    leads = [f"{style.label(v)} came out ahead in {style.words(w)}" for v, w in led.items()]
    rest = measures - sum(map(len, led.values()))
    tail = "; the other differences are within the error of the test items" if rest else ""
    return (
        f"In this one seed {'; '.join(leads)}{tail}. Whether another seed would agree is not known."
    )


def _retrieval(results: Results, split: str, standings: dict[str, Standing]) -> Finding | None:
    parts: list[str] = []
    one_seed = seeds(results) < 2
    for metric, lead in (
        ("i2t_r10", "Asked for a picture's name, the right one is among the first ten"),
        ("t2i_r10", "Asked for a name's picture"),
    ):
        if metric not in standings:
            continue
        found = standings[metric]
        chance = results.reference("chance", split, metric)
        aside = "" if chance is None else f" (chance {style.with_unit(chance, metric)})"
        parts.append(f"{lead}: {numbers(found, metric)}{aside}. {relation(found, one_seed)}")
    pixel = results.reference("pixel_nn", split, "i2t_r1")
    first = standing(results, split, "i2t_r1", results.variants)
    if pixel is not None and first is not None:
        variant, value = first.ranked[0]
        passed = value.mean > pixel
        parts.append(
            f"At rank one the best is {style.label(variant)} with "
            f"{style.with_unit(value.mean, 'i2t_r1')}; comparing raw pixels with the training "
            f"pictures, without any learning, gives {style.with_unit(pixel, 'i2t_r1')}, which "
            f"{'this passes' if passed else 'no run reaches'}."
        )
    return Finding("Retrieval", " ".join(p.strip() for p in parts)) if parts else None


def _classes(results: Results, split: str, standings: dict[str, Standing]) -> Finding | None:
    parts: list[str] = []
    one_seed = seeds(results) < 2
    for metric, noun in (("zeroshot_group_acc", "group"), ("zeroshot_subgroup_acc", "subgroup")):
        if metric not in standings:
            continue
        found = standings[metric]
        majority = results.reference("majority", split, metric)
        aside = ""
        if majority is not None:
            aside = f" (always naming the commonest: {style.with_unit(majority, metric)})"
        start = "Pictures put into their" if not parts else "Into their"
        text = f"{start} {noun} without training for it: {numbers(found, metric)}{aside}."
        parts.append(f"{text} {relation(found, one_seed)}")
    return Finding("Classes", " ".join(p.strip() for p in parts)) if parts else None


def _unseen(results: Results, plain: list[Variant]) -> Finding | None:
    split = "heldout_emoji"
    found = standing(results, split, "i2t_r10", plain)
    if found is None or split == results.splits[0]:
        return None
    chance = results.reference("chance", split, "i2t_r10")
    aside = "" if chance is None else f" (chance {style.with_unit(chance, 'i2t_r10')})"
    return Finding(
        "Never seen in training",
        f"For emoji left out of training altogether the name is among the first ten: "
        f"{numbers(found, 'i2t_r10')}{aside}. {relation(found, seeds(results) < 2)}".strip(),
    )


def _limits(results: Results) -> tuple[str, ...]:
    count = seeds(results)
    limits = []
    if count < 2:
        limits.append(
            "One seed: ± is the standard error of the test items alone. How much another "
            "seed would change the numbers is unknown, so nothing is printed in bold; --seeds 3 "
            "measures it."
        )
    else:
        limits.append(
            f"± is the standard deviation over {count} seeds. A lead is claimed, and set in bold, "
            "when it exceeds both the 95 % interval of Welch's t over seeds and that of the test "
            "items; each pair is tested by itself, without correction for the number of pairs."
        )
    if "runs" in results.left_out:
        limits.append(results.left_out["runs"])
    for run in results.runs:
        limits.extend(f"{style.label(run.variant)}, seed {run.seed}: {note}" for note in run.notes)
    return tuple(limits)
