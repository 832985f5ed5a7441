"""How numbers and geometries look wherever they are shown: labels, colours, units."""

from geomclip.names import factors, family
from geomclip.results import METRICS, Variant
from geomclip.statistics import Estimate

LABELS = {
    "clip": "CLIP",
    "elliptic": "Elliptic",
    "euclip": "EuCLIP",
    "meru": "MERU",
    "euclidean": "Euclidean",
    "euclidean-squared": "Euclidean, squared",
    "euclidean-inner": "Euclidean, inner",
    "hyperbolic": "Hyperbolic",
    "hyperbolic-squared": "Hyperbolic, squared",
    "hyperbolic-inner": "Hyperbolic, inner",
    "poincare": "Poincaré ball",
}

# One colour for each geometry, on light and on dark paper: Okabe and Ito's colour-blind-safe set,
# moved in lightness where its contrast with the paper is below 3:1. Colour never tells it alone.
COLOURS = {
    "clip": ("#0072b2", "#56b4e9"),
    "euclidean-squared": ("#d55e00", "#f58a42"),
    "hyperbolic": ("#008a64", "#35c596"),
    "elliptic": ("#a8518a", "#dd94c3"),
    "euclidean": ("#9a7200", "#e6b422"),
    "euclidean-inner": ("#7a5c3e", "#c8a37f"),
    "hyperbolic-squared": ("#4b4fb5", "#989cf2"),
    "hyperbolic-inner": ("#5d7a14", "#abc95a"),
    "poincare": ("#666666", "#b0b0b0"),
    "product": ("#b3334d", "#f08a9b"),
}

DASHES = ("solid", "dash", "dot", "dashdot")

NNBSP = "\u202f"


def label(variant: Variant) -> str:
    """`MERU`, `MERU λ 0.2`: the name a reader sees."""
    parts = [f"{LABELS.get(m, m.capitalize())} {d}" for m, d in factors(variant.geometry)]
    name = " × ".join(parts) or LABELS[variant.geometry]
    return name + (f" λ{NNBSP}{variant.entailment:g}" if variant.entailment > 0 else "")


def colour(variant: Variant, alpha: float | None = None) -> str:
    """The CSS variable of the geometry's colour; report.js resolves it, with `alpha` as opacity."""
    opacity = "" if alpha is None else f", {alpha:g}"
    return f"var(--g-{family(variant.geometry)}{opacity})"


def number(value: float, metric: str) -> str:
    """A value in the unit of its metric, without the unit: 41.2 for a share of 0.412."""
    kind = METRICS[metric].kind
    if kind == "share":
        return f"{100 * value:.1f}"
    return f"{value:,.0f}" if kind == "seconds" else f"{value:.3f}".replace("-", "−")


def unit(metric: str) -> str:
    """`%`, `rad`, `s` or nothing."""
    return {"share": "%", "radians": "rad", "seconds": "s"}.get(METRICS[metric].kind, "")


def with_unit(value: float, metric: str) -> str:
    """41.2 %, 1.203 rad, 0.312."""
    return f"{number(value, metric)}{NNBSP}{unit(metric)}".rstrip(NNBSP)


def margin(estimate: Estimate) -> float | None:
    """What stands after ±: the spread over seeds, or the error of a single run's items."""
    return estimate.item_error if estimate.spread is None else estimate.spread


def words(names: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else ""


def count(value: int) -> str:
    """1,609."""
    return f"{value:,}"
