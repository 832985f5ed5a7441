"""The verdict in words, made from the numbers: who leads, and whether that may be said.

A lead is called one when it exceeds what seeds and test items give by chance (`statistics.beats`).
With one seed it is only described, as a fact about these runs, beyond the error of the items.
"""

import math
from dataclasses import dataclass

from geomclip.results import METRICS, Results, Variant
from geomclip.statistics import Estimate, ahead_on_these_items, beats
from geomclip.viz import style

# What the headline speaks of, in words that fit "leads in ...".
HEADLINE = {
    "i2t_r10": "finding a picture's name",
    "t2i_r10": "finding a name's picture",
    "zeroshot_subgroup_acc": "zero-shot subgroups",
    "zeroshot_group_acc": "zero-shot groups",
}

# Mean half apertures above this (radians) are called nearly half spaces.
NEARLY_HALF_SPACE = 1.4


@dataclass(frozen=True)
class Finding:
    """One paragraph of the verdict."""

    title: str
    text: str


@dataclass(frozen=True)
class Verdict:
    """The headline, what stands behind it, and what limits it."""

    headline: str
    findings: tuple[Finding, ...]
    limits: tuple[str, ...]


@dataclass(frozen=True)
class Standing:
    """The variants' estimates of one metric, best first, and those the best can't be told from."""

    ranked: tuple[tuple[Variant, Estimate], ...]
    level_with_best: tuple[Variant, ...]

    @property
    def leader(self) -> Variant | None:
        """The best variant when it is ahead of every other."""
        alone = len(self.ranked) > 1 and not self.level_with_best
        return self.ranked[0][0] if alone else None


def standing(results: Results, split: str, metric: str, variants: list[Variant]) -> Standing | None:
    """Who is ahead on a metric; None without numbers."""
    found = [(v, results.estimate(v, split, metric)) for v in variants]
    have = [(v, e) for v, e in found if e is not None]
    if not have:
        return None
    sign = -1 if METRICS[metric].higher_is_better is False else 1
    ranked = sorted(have, key=lambda pair: -sign * pair[1].mean)
    best = ranked[0][1]

    def behind(other: Estimate) -> bool:
        high, low = (best, other) if sign > 0 else (other, best)
        one_seed = best.spread is None or other.spread is None
        return ahead_on_these_items(high, low) if one_seed else beats(high, low)

    level = tuple(v for v, e in ranked[1:] if not behind(e))
    return Standing(tuple(ranked), level)


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
        _hierarchy(results, split, plain),
        *[_entailed(results, split, v) for v in results.variants if v.entailment > 0],
    ]
    return Verdict(
        _headline(results, standings, plain),
        tuple(f for f in findings if f is not None),
        _limits(results),
    )


def _seeds(results: Results) -> int:
    return len({run.seed for run in results.runs})


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
    if _seeds(results) < 2:
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


def _numbers(found: Standing, metric: str) -> str:
    parts = []
    for variant, value in found.ranked:
        margin = style.margin(value)
        text = style.number(value.mean, metric)
        if margin is not None:
            text += f"{style.NNBSP}±{style.NNBSP}{style.number(margin, metric)}"
        # No line may end between a name and its number.
        parts.append(
            f"{style.label(variant)}\u00a0{text}{style.NNBSP}{style.unit(metric)}".rstrip()
        )
    return ", ".join(parts)


def _relation(found: Standing, one_seed: bool) -> str:
    """Who can be told from whom, in a sentence."""
    if len(found.ranked) < 2:
        return ""
    best = found.ranked[0][0]
    level = [style.label(v) for v in found.level_with_best]
    behind = [style.label(v) for v, _ in found.ranked[1:] if v not in found.level_with_best]
    where = " in these runs" if one_seed else ""
    if not level:
        return f"{style.label(best)} is ahead of the others{where}."
    if not behind:
        them = "the two" if len(level) == 1 else "them"
        return f"The differences are too small to tell {them} apart."
    verb = "is" if len(behind) == 1 else "are"
    return (
        f"{style.words([style.label(best), *level])} can't be told apart; "
        f"{style.words(behind)} {verb} behind {style.label(best)}{where}."
    )


def _retrieval(results: Results, split: str, standings: dict[str, Standing]) -> Finding | None:
    parts: list[str] = []
    one_seed = _seeds(results) < 2
    for metric, lead in (
        ("i2t_r10", "Asked for a picture's name, the right one is among the first ten"),
        ("t2i_r10", "Asked for a name's picture"),
    ):
        if metric not in standings:
            continue
        found = standings[metric]
        chance = results.reference("chance", split, metric)
        aside = "" if chance is None else f" (chance {style.with_unit(chance, metric)})"
        parts.append(f"{lead}: {_numbers(found, metric)}{aside}. {_relation(found, one_seed)}")
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
    one_seed = _seeds(results) < 2
    for metric, noun in (("zeroshot_group_acc", "group"), ("zeroshot_subgroup_acc", "subgroup")):
        if metric not in standings:
            continue
        found = standings[metric]
        majority = results.reference("majority", split, metric)
        aside = ""
        if majority is not None:
            aside = f" (always naming the commonest: {style.with_unit(majority, metric)})"
        start = "Pictures put into their" if not parts else "Into their"
        text = f"{start} {noun} without training for it: {_numbers(found, metric)}{aside}."
        parts.append(f"{text} {_relation(found, one_seed)}")
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
        f"{_numbers(found, 'i2t_r10')}{aside}. {_relation(found, _seeds(results) < 2)}".strip(),
    )


def _hierarchy(results: Results, split: str, plain: list[Variant]) -> Finding | None:
    found = standing(results, split, "root_tau", plain)
    if found is None:
        return None
    text = (
        "How far root distance grows level by level, from the group's text to the picture "
        f"(Kendall's τ: 1 always, 0 no order, −1 reversed): {_numbers(found, 'root_tau')}."
    )
    if _seeds(results) < 2:
        text += " One seed gives no spread for τ, so these are not ranked."
    else:
        text += " " + _relation(found, False)
    return Finding("Hierarchy", text.strip())


def _entailed(results: Results, split: str, variant: Variant) -> Finding | None:
    own = results.estimate(variant, split, "cone_own_group")
    other = results.estimate(variant, split, "cone_other_group")
    aperture = results.estimate(variant, split, "cone_aperture_group")
    if own is None or other is None or aperture is None:
        return None
    points = 100 * (own.mean - other.mean)
    text = (
        f"{style.with_unit(own.mean, 'cone_own_group')} of the pictures lie in the cone of their "
        f"own group, {style.with_unit(other.mean, 'cone_other_group')} in another group's: "
        f"{points:.0f} points apart, at a mean half aperture of "
        f"{style.with_unit(aperture.mean, 'cone_aperture_group')}."
    )
    if aperture.mean > NEARLY_HALF_SPACE:
        text += (
            f" A half space has {math.pi / 2:.3f}: these cones are nearly that, so lying inside "
            "one says little."
        )
    plain = Variant(variant.geometry)
    for metric in ("root_tau", "i2t_r10"):
        with_, without = (results.estimate(v, split, metric) for v in (variant, plain))
        if with_ is not None and without is not None:
            text += (
                f" {METRICS[metric].label}: {style.with_unit(with_.mean, metric)} against "
                f"{style.with_unit(without.mean, metric)} without entailment."
            )
    return Finding(f"Entailment, {style.label(variant)}", text)


def _limits(results: Results) -> tuple[str, ...]:
    seeds = _seeds(results)
    limits = []
    if seeds < 2:
        limits.append(
            "One seed: ± is the binomial standard error of the test items alone. How much another "
            "seed would change the numbers is unknown, so nothing is printed in bold; --seeds 3 "
            "measures it."
        )
    else:
        limits.append(
            f"± is the standard deviation over {seeds} seeds. A lead is claimed, and set in bold, "
            "when it exceeds both the 95 % interval of Welch's t over seeds and that of the test "
            "items; each pair is tested by itself, without correction for the number of pairs."
        )
    for run in results.runs:
        limits.extend(f"{style.label(run.variant)}, seed {run.seed}: {note}" for note in run.notes)
    return tuple(limits)
