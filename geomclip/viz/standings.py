"""Who is ahead on a measure, and in what words that may be said.

A lead is called one when it exceeds what seeds and test items give by chance (`statistics.beats`).
With one seed it is only described, as a fact about these runs, beyond the error of the items.
"""

from dataclasses import dataclass

from geomclip.results import METRICS, Results, Variant
from geomclip.statistics import Estimate, ahead_on_these_items, beats
from geomclip.viz import style


@dataclass(frozen=True)
class Finding:
    """One paragraph of the verdict."""

    title: str
    text: str


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


def seeds(results: Results) -> int:
    """How many seeds were run."""
    return len({run.seed for run in results.runs})


def numbers(found: Standing, metric: str) -> str:
    """`MERU 51.2 ± 1.3 %, CLIP 50.0 ± 1.3 %`: best first."""
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


def relation(found: Standing, one_seed: bool) -> str:
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
