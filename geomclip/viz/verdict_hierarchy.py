"""The paper's question in words: which geometry holds the hierarchy, and what entailment adds."""

import math

from geomclip.results import METRICS, Results, Variant
from geomclip.viz import style
from geomclip.viz.standings import Finding, Standing, numbers, relation, seeds, standing

# Mean half apertures above this (radians) are called nearly half spaces.
NEARLY_HALF_SPACE = 1.4


def findings(results: Results, split: str, plain: list[Variant]) -> list[Finding]:
    """Root distances, ancestors, texts against pictures, and every entailed variant."""
    found = [
        _order(results, split, plain),
        _ancestors(results, split, plain),
        _apart(results, split, plain),
        *[_entailed(results, split, v) for v in results.variants if v.entailment > 0],
    ]
    return [f for f in found if f is not None]


def _ranking(results: Results, found: Standing) -> str:
    """Who is ahead; with one seed only where the items give an error."""
    one_seed = seeds(results) < 2
    if one_seed and any(e.item_error is None for _, e in found.ranked):
        return "One seed gives no spread here, so these are not ranked."
    return relation(found, one_seed)


def _with_entailment(results: Results, split: str, metric: str, plain: list[Variant]) -> str:
    """The same of the runs with the entailment loss, where the others are without."""
    entailed = [v for v in results.variants if v.entailment > 0 and v not in plain]
    found = standing(results, split, metric, entailed)
    return "" if found is None else f" With the entailment loss: {numbers(found, metric)}."


def _order(results: Results, split: str, plain: list[Variant]) -> Finding | None:
    found = standing(results, split, "root_tau", plain)
    if found is None:
        return None
    text = (
        "Which geometry orders the levels by root distance? How far it grows level by level, from "
        "the group's text to the picture (Kendall's τ: 1 always, 0 no order, −1 reversed): "
        f"{numbers(found, 'root_tau')}. {_ranking(results, found)}"
    ) + _with_entailment(results, split, "root_tau", plain)
    texts = standing(results, split, "root_tau_texts", plain)
    if texts is not None:
        text += (
            f" Among the texts alone: {numbers(texts, 'root_tau_texts')}; pictures that merely lie "
            "beyond all texts make a τ of 0.5 of no order at all."
        )
    return Finding("Hierarchy", text.strip())


def _ancestors(results: Results, split: str, plain: list[Variant]) -> Finding | None:
    found = standing(results, split, "ancestor_ap", plain)
    if found is None:
        return None
    chance = results.reference("chance", split, "ancestor_ap")
    aside = "" if chance is None else f" (a random order: {style.number(chance, 'ancestor_ap')})"
    text = (
        "Which retrieves ancestors best? With all labels above the names ranked by the geometry's "
        "own score, those of the picture itself have a mean average precision of "
        f"{numbers(found, 'ancestor_ap')}{aside}. {_ranking(results, found)}"
    ) + _with_entailment(results, split, "ancestor_ap", plain)
    entailed = [v for v in results.variants if v.entailment > 0]
    cones = standing(results, split, "cone_ancestor_ap", entailed)
    if cones is not None:
        text += (
            " Ranked by how deep the picture lies in the labels' cones, with entailment: "
            f"{numbers(cones, 'cone_ancestor_ap')}."
        )
    return Finding("Ancestors", text.strip())


def _apart(results: Results, split: str, plain: list[Variant]) -> Finding | None:
    """Do texts and pictures separate, with and without entailment?"""
    entailed = [v for v in results.variants if v.entailment > 0]
    plain = [v for v in plain if v.entailment == 0]
    parts: list[str] = []
    for metric, lead in (
        (
            "root_auc",
            "By root distance: the chance that a picture lies farther out than a name (0.5: mixed; "
            "1: every picture beyond every name)",
        ),
        (
            "modality_accuracy",
            "By a plane in the tangent space: the share of both that it puts on the right side "
            "(50 %: mixed)",
        ),
    ):
        sides = []
        for variants, words in ((plain, "without entailment"), (entailed, "with it")):
            found = standing(results, split, metric, variants)
            if found is not None:
                sides.append(f"{numbers(found, metric)} {words}")
        if sides:
            parts.append(f"{lead}: {'; '.join(sides)}.")
    if not parts:
        return None
    if not entailed:
        parts.append(
            "No run was trained with the entailment loss, so what it changes is not known here; "
            "--entailment 0,0.2 adds such runs."
        )
    return Finding("Texts and pictures", "Do the two separate? " + " ".join(parts))


def _entailed(results: Results, split: str, variant: Variant) -> Finding | None:
    own = results.estimate(variant, split, "cone_own_group")
    other = results.estimate(variant, split, "cone_other_group")
    aperture = results.estimate(variant, split, "cone_aperture_group")
    if own is None or other is None or aperture is None:
        return None
    apart = f"{100 * (own.mean - other.mean):.1f}".replace("-", "−")
    text = (
        f"{style.with_unit(own.mean, 'cone_own_group')} of the pictures lie in the cone of their "
        f"own group, {style.with_unit(other.mean, 'cone_other_group')} in another group's: "
        f"{apart} points apart, at a mean half aperture of "
        f"{style.with_unit(aperture.mean, 'cone_aperture_group')}."
    )
    if aperture.mean > NEARLY_HALF_SPACE:
        text += (
            f" A half space has {math.pi / 2:.3f}: these cones are nearly that, so lying inside "
            "one says little."
        )
    plain = Variant(variant.geometry)
    for metric in ("root_tau", "ancestor_ap", "i2t_r10"):
        with_, without = (results.estimate(v, split, metric) for v in (variant, plain))
        if with_ is not None and without is not None:
            text += (
                f" {METRICS[metric].label}: {style.with_unit(with_.mean, metric)} against "
                f"{style.with_unit(without.mean, metric)} without entailment."
            )
    return Finding(f"Entailment, {style.label(variant)}", text)
