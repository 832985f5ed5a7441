"""Entailment cones of the pairs: are they wide, do they hold their own, have they collapsed?

The parent of a pair is the second modality (the text), the child the first (the picture), as in
MERU (arXiv 2304.09172).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from geomclip import resampling
from geomclip.analysis.result import Result, Row
from geomclip.analysis.space import Space
from geomclip.embeddings import Embeddings
from geomclip.errors import RequestError
from geomclip.statistics import Measured, share

if TYPE_CHECKING:
    from geomclip.viz.charts import Chart

# asin's last steps before pi/2 are coarse in float32.
_HALF_SPACE = torch.pi / 2 - 1e-3


@dataclass(frozen=True)
class Cones(Result):
    """Cones of the parents against their own children and against random others.

    Args:
        aperture: mean half aperture of the parents' cones, radians.
        exterior: mean exterior angle of a parent and its own child, radians.
        exterior_other: the same of a parent and a random child of another.
        violation: share of pairs whose child lies outside of its parent's cone.
        violation_other: the same of random pairs; own below other is what cones are for.
        collapsed: share of parents whose cone is a half space: they lie within the radius at which
            half_aperture reaches pi/2.
        nearer: share of pairs whose parent lies nearer to the root than its child.
    """

    geometry: str
    parent: str
    child: str
    min_radius: float
    aperture: Measured
    exterior: Measured
    exterior_other: Measured
    violation: Measured
    violation_other: Measured
    collapsed: Measured
    nearer: Measured

    def rows(self) -> list[Row]:
        """Every field with its unit."""
        return [
            Row("aperture", "Mean half aperture", self.aperture, "rad"),
            Row("exterior", "Mean exterior angle, own", self.exterior, "rad"),
            Row("exterior_other", "Mean exterior angle, others", self.exterior_other, "rad"),
            Row("violation", "Own outside the cone", self.violation, is_share=True),
            Row("violation_other", "Others outside the cone", self.violation_other, is_share=True),
            Row("collapsed", "Cones that are half spaces", self.collapsed, is_share=True),
            Row("nearer", f"{self.parent} nearer to the root", self.nearer, is_share=True),
        ]

    def notes(self) -> list[str]:
        """K, who is the parent, and a warning where cones have collapsed."""
        out = [
            f"The cone of a {self.parent} is to hold its {self.child}; K = {self.min_radius:g}. "
            "Others: random pairs."
        ]
        if self.collapsed.value > 0.5:
            out.append("Most cones are half spaces and hold nearly anything: they have collapsed.")
        return out

    def charts(self) -> "list[Chart]":
        """The shares, each with its interval."""
        from geomclip.viz.densities import bars, name_of

        rows = [
            (row.label, 100 * row.value.value, 100 * (row.value.error or 0), row.value.n)
            for row in self.rows()
            if row.is_share
        ]
        title = f"{name_of(self.geometry)}: entailment cones"
        return [bars("cones", title, self.geometry, "per cent", rows)]


def cones(source: Embeddings | Space) -> Cones:
    """Statistics of the entailment cones over all pairs.

    Raises:
        RequestError: the manifold has no cones, or nothing is paired.
    """
    space = Space.of(source)
    e, manifold, radius = space.everything, space.manifold, space.min_radius
    if not manifold.has_cones:
        raise RequestError(
            f"{e.source or 'embeddings'}: {manifold.name} has no entailment cones",
            "Euclidean and hyperbolic geometries have.",
        )
    if space.pair is None:
        raise RequestError(f"{e.source or 'embeddings'}: nothing is paired", "Give pairs.")
    child, parent = space.pair
    rows = e.pairing(child, parent)
    shift = _derangement(len(rows), space.seed)
    margins: list[Tensor] = []
    for part in torch.arange(len(rows)).split(8192):
        x, y = e[parent][rows[part, 1]], e[child][rows[part, 0]]
        other = e[child][rows[shift[part], 0]]
        aperture = manifold.half_aperture(x, min_radius=radius)
        own = manifold.exterior_angle(x, y)
        against = manifold.exterior_angle(x, other)
        nearer = (manifold.dist0(x) < manifold.dist0(y)).to(own)
        margins.append(torch.stack([aperture, own, against, nearer]).detach())
    aperture, own, against, nearer = torch.cat(margins, dim=1)
    apexes = [manifold.half_aperture(x, min_radius=radius) for x in e[parent].split(8192)]
    half_spaces = torch.cat(apexes) >= _HALF_SPACE
    n = len(rows)
    return Cones(
        geometry=space.geometry_name,
        parent=parent,
        child=child,
        min_radius=radius,
        aperture=resampling.mean(aperture),
        exterior=resampling.mean(own),
        exterior_other=resampling.mean(against),
        violation=share(int((own > aperture).sum()), n),
        violation_other=share(int((against > aperture).sum()), n),
        collapsed=share(int(half_spaces.sum()), len(half_spaces)),
        nearer=share(int(nearer.sum()), n),
    )


def _derangement(n: int, seed: int) -> Tensor:
    """Another pair for each: the next one in a random order."""
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    out = torch.empty(n, dtype=torch.long)
    out[order] = order.roll(-1)
    return out
