"""`reduce`: points of any geometry to two dimensions, and what that keeps."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from geomclip.errors import RequestError
from geomclip.geometry import Geometry
from geomclip.viz.reduce.cosne import cosne
from geomclip.viz.reduce.horopca import horopca
from geomclip.viz.reduce.mds import mds
from geomclip.viz.reduce.plane import Problem, problem
from geomclip.viz.reduce.tangent import tangent_pca
from geomclip.viz.reduce.umap import umap

METHODS: dict[str, Callable[[Problem, int], Tensor]] = {
    "tangent-pca": tangent_pca,
    "horopca": horopca,
    "mds": mds,
    "co-sne": cosne,
    "umap": umap,
}
NAMES = {
    "tangent-pca": "Tangent PCA",
    "horopca": "HoroPCA",
    "mds": "Multidimensional scaling",
    "co-sne": "CO-SNE",
    "umap": "UMAP",
    "none": "The points as they are",
}
PAIRS = 20_000
QUERIES = 1000
K = 10


@dataclass(frozen=True)
class Kept:
    """What a picture keeps of the full space, each 1 when it keeps all.

    Args:
        distance: squared correlation of distances in the plane with those in the space.
        neighbours: mean share of the ten nearest neighbours that are among the ten in the plane.
        root_order: Kendall's tau-b of root distances in the plane and in the space.
        pairs, queries: sizes of the samples that the first two were measured on.
    """

    distance: float
    neighbours: float
    root_order: float
    pairs: int
    queries: int


@dataclass(frozen=True)
class Reduction:
    """Points in two dimensions.

    Args:
        xy: (n, 2) float64, tangent coordinates at the root at unit curvature.
        plane: "hyperbolic", "euclidean" or "sphere".
        method: of `METHODS`, or "none".
        radial: whether |xy| is the distance to the root of the full space.
        scale: sqrt(c); lengths of the picture over it are the manifold's.
    """

    xy: NDArray[np.float64] = field(repr=False)
    plane: str
    method: str
    radial: bool
    scale: float
    kept: Kept

    def to_dict(self) -> dict[str, Any]:
        """All but the coordinates."""
        values = {name: getattr(self, name) for name in ("plane", "method", "radial", "scale")}
        return values | {"kept": asdict(self.kept)}

    def sentence(self) -> str:
        """For the reader of a picture."""
        kept = self.kept
        how = NAMES[self.method] + (" at true root distances" if self.radial else "")
        if self.method == "none":
            return f"{how}: nothing was reduced."
        return (
            f"{how}. Two dimensions keep {100 * kept.distance:.0f} % of the variance of distances, "
            f"{100 * kept.neighbours:.0f} % of the ten nearest neighbours, and the order of root "
            f"distances at τ = {kept.root_order:.2f}."
        )


def reduce(
    geometry: Geometry,
    x: Float[Tensor, "n d"],
    method: str = "tangent-pca",
    *,
    radial: bool = True,
    seed: int = 0,
) -> Reduction:
    """Points of a geometry in the plane of its kind (hyperbolic, Euclidean, spherical).

    Args:
        method: one of `METHODS`; "none" for points that have two dimensions already.
        radial: keep the distance to the root exactly and take only the direction from the method.

    Raises:
        RequestError: fewer than three points, an unknown method or one that does not fit the space.
        GeomclipError: the root of clip or elliptic has not been set.
    """
    if len(x) < 3:
        raise RequestError(f"there are {len(x)} points; a picture needs three", "Give more data.")
    given = problem(geometry, x)
    if method == "none":
        if given.tangent[:, -2:].norm(dim=-1).sub(given.radius).abs().max() > 1e-9:
            raise RequestError(
                f"the points have {geometry.dim} dimensions, so that a picture needs a method",
                f"One of {', '.join(METHODS)}.",
            )
        xy = given.tangent[:, -2:]
    elif method in METHODS:
        xy = METHODS[method](given, seed)
        if radial:
            xy = at_radius(xy, given.radius, seed)
    else:
        raise RequestError(
            f'there is no method "{method}"', f"One of {', '.join(METHODS)}, or none."
        )
    exact = radial or method == "none"
    kept = measure(given, xy, seed)
    return Reduction(xy.numpy(), given.plane.name, method, exact, given.scale, kept)


def at_radius(
    xy: Float[Tensor, "n 2"], radius: Float[Tensor, "n"], seed: int = 0
) -> Float[Tensor, "n 2"]:
    """The same directions at other lengths; a point without a direction gets a random one."""
    length = xy.norm(dim=-1, keepdim=True)
    angle = 2 * math.pi * torch.rand(len(xy), generator=torch.Generator().manual_seed(seed))
    lost = torch.stack([angle.cos(), angle.sin()], -1).to(xy)
    return torch.where(length > 0, xy / length.clamp_min(1e-300), lost) * radius[:, None]


@torch.no_grad()
def measure(given: Problem, xy: Float[Tensor, "n 2"], seed: int = 0) -> Kept:
    """What coordinates keep, on all pairs or PAIRS random ones, and on the neighbours of random
    points."""
    from scipy.stats import kendalltau

    generator = torch.Generator().manual_seed(seed)
    n = len(xy)
    if n * (n - 1) // 2 <= PAIRS:
        i, j = torch.triu_indices(n, n, offset=1)
    else:
        i = torch.randint(n, (PAIRS,), generator=generator)
        j = (i + torch.randint(1, n, (PAIRS,), generator=generator)) % n
    there, here = given.dist(i, j), given.plane.dist(xy[i], xy[j])
    correlation = torch.corrcoef(torch.stack([there, here]))[0, 1].nan_to_num().item()
    queries = torch.randperm(n, generator=generator)[:QUERIES]
    k = min(K, n - 1)
    given = given.single()
    points = given.plane.points(xy).float()
    lists = []
    for manifold, rows in ((given.manifold, given.x), (given.plane.manifold, points)):
        distances = manifold.pairwise_dist(rows[queries], rows)
        distances[torch.arange(len(queries)), queries] = math.inf
        lists.append(distances.topk(k, largest=False).indices)
    shared = (lists[0][:, :, None] == lists[1][:, None]).any(-1).double().mean().item()
    tau = kendalltau(given.radius.numpy(), xy.norm(dim=-1).numpy()).statistic
    return Kept(max(0.0, correlation) ** 2, shared, float(np.nan_to_num(tau)), len(i), len(queries))
