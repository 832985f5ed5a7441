"""UMAP of geodesic neighbours, through the library of that name (extra `umap`).

Neighbours are found in the full space by the geometry's own distance, so that UMAP sees them and no
coordinates; the layout is Euclidean, and its directions from the root are what a radial picture
takes.
"""

import warnings

import torch
from jaxtyping import Float
from torch import Tensor

from geomclip.errors import GeomclipError
from geomclip.viz.reduce.plane import Problem
from manifolds.kernels.neighbors import topk

NEIGHBOURS = 15


def umap(problem: Problem, seed: int = 0) -> Float[Tensor, "n 2"]:
    """Coordinates of UMAP about their mean, scaled to the mean root distance.

    Raises:
        GeomclipError: the library is not installed.
    """
    try:
        from umap import UMAP
    except ImportError as error:
        raise GeomclipError(
            "UMAP is not installed", 'Install the extra: pip install "geomclip[umap]".'
        ) from error
    n = len(problem.x)
    k = min(NEIGHBOURS, n - 1)
    found = topk(problem.manifold, problem.x, problem.x, k + 1)
    known = (found.index.numpy(), found.value.clamp_min(0).numpy())
    with warnings.catch_warnings():
        # It speaks of placing further points by its own index, which nobody asks for here.
        warnings.filterwarnings("ignore", "precomputed_knn", UserWarning)
        layout = UMAP(
            n_neighbors=k + 1,
            precomputed_knn=(*known, None),
            random_state=seed,
            n_jobs=1,
            init="random",
        ).fit_transform(problem.tangent.numpy())
    xy = torch.tensor(layout, dtype=torch.float64)
    xy = xy - xy.mean(0)
    return xy * (problem.radius.mean() / xy.norm(dim=-1).mean())
