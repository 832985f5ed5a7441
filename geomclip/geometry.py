"""A geometry of contrastive learning: a manifold, a lift of features onto it, a logit of points.

The rows of `GEOMETRIES` are those of Chou & Alam (arXiv 2409.13079), with the initial values of the
published code. Notation: f raw projected feature of dimension d; x, y points; beta =
exp(logit_scale); alpha_m learned scale of modality m; c magnitude of the curvature. A new geometry
is a new row; a new kind of lift or logit is a function and a line in `LIFTS` or `LOGITS`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

import manifolds
from geomclip.errors import GeomclipError
from geomclip.names import ALIASES, canonical
from geomclip.precision import no_autocast, widen
from manifolds.base import Manifold

__all__ = ["ALIASES", "GEOMETRIES", "Geometry", "GeometrySpec", "build_geometry"]

MAX_LOGIT_SCALE = math.log(100)
CLIP_LOGIT_SCALE = math.log(1 / 0.07)


@dataclass(frozen=True)
class GeometrySpec:
    """One geometry as data."""

    manifold: str
    """Key of `manifolds.MANIFOLDS`."""
    lift: Literal["normalise", "scale", "expmap0"]
    """Key of `LIFTS`: how a feature becomes a point."""
    logit: Literal["dot", "minkowski", "-dist", "-dist2"]
    """Key of `LOGITS`: logit of two points over beta."""
    init_logit_scale: float = CLIP_LOGIT_SCALE
    """Initial log beta."""
    init_logit_scale_entailment: float = CLIP_LOGIT_SCALE
    """Initial log beta of a model trained with the entailment loss."""
    learned_curvature: bool = False
    """c is a parameter."""
    learned_alpha: bool = False
    """Every modality has its scale alpha, starting at d^-1/2; a flat lift has that scale fixed."""
    tangent_scale: float = 1.0
    """Chart length of a tangent vector at the origin over its metric length (1/2 on the ball)."""
    root: Literal["origin", "mean"] = "origin"
    """The origin, or the normalised mean of all embeddings of the training set."""
    root_distance: Literal["dist", "cosine"] = "dist"
    """Geodesic distance to the root, or the scaled cosine distance."""


_HYPERBOLIC = {"lift": "expmap0", "learned_curvature": True, "learned_alpha": True}
_SQUARED = {"logit": "-dist2", "init_logit_scale": 0.0, "init_logit_scale_entailment": -1.0}

GEOMETRIES: dict[str, GeometrySpec] = {
    "clip": GeometrySpec("sphere", "normalise", "dot", root="mean", root_distance="cosine"),
    "elliptic": GeometrySpec("sphere", "normalise", "-dist", root="mean"),
    "euclidean": GeometrySpec("euclidean", "scale", "-dist"),
    "euclidean-squared": GeometrySpec("euclidean", "scale", **_SQUARED),
    "euclidean-inner": GeometrySpec("euclidean", "scale", "dot"),
    "hyperbolic": GeometrySpec("lorentz", logit="-dist", **_HYPERBOLIC),
    "hyperbolic-squared": GeometrySpec("lorentz", **_SQUARED, **_HYPERBOLIC),
    "hyperbolic-inner": GeometrySpec("lorentz", logit="minkowski", **_HYPERBOLIC),
    "poincare": GeometrySpec("poincare", logit="-dist", tangent_scale=0.5, **_HYPERBOLIC),
}


def _normalise(g: "Geometry", f: Tensor, modality: str) -> Tensor:
    """f / |f|. A zero feature has no direction: ValueError that counts them."""
    norm = torch.linalg.vector_norm(f, dim=-1, keepdim=True)
    zero = int((norm == 0).sum())
    if zero:
        raise ValueError(
            f"{g.name}: {zero} of {norm.numel()} {modality} features are zero and have no point on "
            "the sphere; check the encoder (dead units, too high a learning rate)"
        )
    return f / norm


LIFTS: dict[str, Callable[["Geometry", Tensor, str], Tensor]] = {
    "normalise": _normalise,
    "scale": lambda g, f, modality: f * g.dim**-0.5,
    "expmap0": lambda g, f, modality: g.manifold.expmap0(
        f * (g.alpha(modality) * g.spec.tangent_scale).to(f.dtype)
    ),
}
"""Raw projected features (..., d) to points (..., d), by kind."""

LOGITS: dict[str, Callable[["Geometry", Tensor, Tensor], Tensor]] = {
    "dot": lambda g, x, y: x @ y.mT,
    "minkowski": lambda g, x, y: manifolds.functional.lorentz_pairwise_inner(x, y, g.manifold.c),
    "-dist": lambda g, x, y: -g.manifold.pairwise_dist(x, y),
    "-dist2": lambda g, x, y: -g.manifold.pairwise_dist2(x, y),
}
"""Logits over beta (n, m) of points (n, d) and (m, d), by kind."""


class Geometry(nn.Module):
    """A manifold, a lift of features onto it, and a logit; `build_geometry` makes one by name.

    Computes in float32 or better whatever autocast says.
    """

    _root: Tensor

    def __init__(
        self,
        name: str,
        dim: int,
        manifold: Manifold,
        *,
        modalities: Sequence[str],
        init_logit_scale: float,
        min_logit_scale: float | None = None,
        alpha_max: float | None = None,
    ) -> None:
        super().__init__()
        if min_logit_scale is not None and min_logit_scale > MAX_LOGIT_SCALE:
            raise ValueError(
                f"{name}: min_logit_scale {min_logit_scale} is above the upper bound log 100"
            )
        if alpha_max is not None and not alpha_max > 0:
            raise ValueError(f"{name}: alpha_max must be positive, got {alpha_max}")
        self.name = name
        self.spec = GEOMETRIES[canonical(name)]
        self.dim = dim
        self.manifold = manifold
        self.modalities = tuple(modalities)
        self.min_logit_scale = min_logit_scale
        self.alpha_max = alpha_max
        self.logit_scale = nn.Parameter(torch.tensor(float(init_logit_scale)))
        alphas = self.modalities if self.spec.learned_alpha else ()
        self.log_alpha = nn.ParameterDict(
            {m: nn.Parameter(torch.tensor(-0.5 * math.log(dim))) for m in alphas}
        )
        # NaN stands for "not set": a mean root is a fact about a training set.
        unset = torch.full((dim,), math.nan)
        self.register_buffer("_root", torch.zeros(dim) if self.spec.root == "origin" else unset)

    @property
    def has_cones(self) -> bool:
        """Whether the manifold has entailment cones."""
        return bool(self.manifold.has_cones)

    def alpha(self, modality: str) -> Tensor:
        """Scale of a modality's features before the exponential map, 0-dim; 1 where it has none."""
        if not self.log_alpha:
            return torch.ones((), device=self.logit_scale.device)
        return self.log_alpha[modality].exp()

    def lift(self, features: Float[Tensor, "*b d"], modality: str) -> Float[Tensor, "*b d"]:
        """Raw projected features to points on `manifold`.

        clip, elliptic: f / |f|; Euclidean: f d^-1/2; hyperbolic: expmap0(alpha_m f)
        (arXiv 2304.09172, equation 4; arXiv 2409.13079).

        Raises:
            ValueError: an unknown modality, features of another dimension, or a zero feature under
                clip or elliptic (counted).
        """
        self._check_modality(modality)
        self._check_dim(features, "features")
        with no_autocast(features):
            return LIFTS[self.spec.lift](self, widen(features, "features"), modality)

    def score(self, x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
        """Logits over beta of all pairs of points; larger is closer.

        Raises:
            ValueError: points of another dimension, or x and y of different dtypes.
        """
        self._check_dim(x, "x")
        self._check_dim(y, "y")
        with no_autocast(x):
            return LOGITS[self.spec.logit](self, widen(x, "x"), widen(y, "y"))

    def logits(self, x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
        """`score` times beta = exp(logit_scale): what the contrastive loss takes."""
        score = self.score(x, y)
        return score * self.logit_scale.exp().to(score.dtype)

    def prototype(
        self, features: Float[Tensor, "*b k d"], modality: str = "text"
    ) -> Float[Tensor, "*b d"]:
        """One point for k features: their mean in the tangent space at the root, lifted.

        clip and elliptic normalise each feature before the mean and the mean after it.
        """
        self._check_modality(modality)
        self._check_dim(features, "features")
        features = widen(features, "features")
        if self.spec.lift == "normalise":
            features = _normalise(self, features, modality)
        return self.lift(features.mean(-2), modality)

    def entailment_loss(
        self, parent: Float[Tensor, "n d"], child: Float[Tensor, "n d"], min_radius: float = 0.1
    ) -> Float[Tensor, ""]:
        """Mean hinge by which children leave their parents' cones, radians; text is the parent.

        Raises:
            NotImplementedError: the manifold has no cones.
        """
        from geomclip.losses.entailment import entailment_loss

        return entailment_loss(self.manifold, parent, child, min_radius)

    @property
    def root(self) -> Float[Tensor, "d"]:
        """The point that every cone opens away from, and that root distances are measured to.

        Raises:
            GeomclipError: clip and elliptic have none before `set_root_`.
        """
        if self._root.isnan().any():
            raise GeomclipError(
                f"{self.name} has no root yet: it is the normalised mean of all embeddings of a "
                "training set",
                "Load a finished run, or call set_root_(image_points, text_points).",
            )
        return self._root

    @torch.no_grad()
    def set_root_(self, image: Float[Tensor, "n d"], text: Float[Tensor, "m d"]) -> None:
        """The root becomes the normalised mean of the points; nothing changes where it is the origin.

        Raises:
            ValueError: the mean is zero or not finite.
        """
        if self.spec.root == "origin":
            return
        mean = torch.cat([image, text]).double().mean(0)
        norm = mean.norm()
        if not (norm > 0 and norm.isfinite()):
            raise ValueError(
                f"{self.name}: the mean of the points has norm {norm}, and no direction"
            )
        self._root.copy_(mean / norm)

    def root_distance(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
        """Distance to the root: geodesic, or (1 - cos)/2 for clip (arXiv 2409.13079, figure 2)."""
        self._check_dim(x, "x")
        x = widen(x, "x")
        if self.spec.root == "origin":
            return self.manifold.dist0(x)
        root = self.root.to(x.dtype)
        if self.spec.root_distance == "cosine":
            # |x - root|^2 / 4 = (1 - cos) / 2 on the unit sphere, without the cancellation.
            return (x - root).square().sum(-1) / 4
        return self.manifold.dist(x, root)

    def scalar_parameters(self) -> list[nn.Parameter]:
        """logit_scale, alpha and c: exempt from weight decay, with a learning rate of their own."""
        log_c = getattr(self.manifold, "log_c", None)
        learned = [log_c] if self.spec.learned_curvature and log_c is not None else []
        return [self.logit_scale, *self.log_alpha.values(), *learned]

    def scalars(self) -> dict[str, float]:
        """Values to log: logit_scale (log beta), alpha by modality, c; those that exist."""
        values = {"logit_scale": self.logit_scale.item()}
        values |= {f"alpha_{m}": p.exp().item() for m, p in self.log_alpha.items()}
        if self.spec.learned_curvature:
            values["c"] = self.manifold.c.item()
        return values

    def _bounds(self) -> list[tuple[str, nn.Parameter, float | None, float | None]]:
        log_alpha_max = None if self.alpha_max is None else math.log(self.alpha_max)
        bounds: list[tuple[str, nn.Parameter, float | None, float | None]] = [
            ("logit_scale", self.logit_scale, self.min_logit_scale, MAX_LOGIT_SCALE)
        ]
        return bounds + [(f"alpha_{m}", p, None, log_alpha_max) for m, p in self.log_alpha.items()]

    @torch.no_grad()
    def apply_bounds_(self) -> dict[str, str]:
        """Bring the scalars back within their bounds, after an optimizer step; what it touched.

        Returns:
            "lower" or "upper" by the name of the scalar, as `scalars` spells it.
        """
        touched = dict(self.manifold.apply_bounds_())
        for name, parameter, lower, upper in self._bounds():
            if lower is not None and parameter.item() < lower:
                parameter.fill_(lower)
                touched[name] = "lower"
            if upper is not None and parameter.item() > upper:
                parameter.fill_(upper)
                touched[name] = "upper"
        return touched

    def at_bound(self) -> dict[str, str]:
        """Scalars that sit at a bound: "lower" or "upper" by name."""
        found = dict(self.manifold.at_bound())
        for name, parameter, lower, upper in self._bounds():
            value = parameter.detach()
            if lower is not None and value <= value.new_tensor(lower):
                found[name] = "lower"
            if upper is not None and value >= value.new_tensor(upper):
                found[name] = "upper"
        return found

    def extra_repr(self) -> str:
        """For print(g)."""
        return f"{self.name}, dim={self.dim}"

    def _check_modality(self, modality: str) -> None:
        if modality not in self.modalities:
            raise ValueError(
                f"{self.name}: unknown modality {modality!r}; it has {', '.join(self.modalities)}"
            )

    def _check_dim(self, x: Tensor, what: str) -> None:
        if x.shape[-1] != self.dim:
            raise ValueError(
                f"{self.name}: {what} have dimension {x.shape[-1]}, the geometry has {self.dim}"
            )


def build_geometry(
    name: str,
    dim: int,
    *,
    modalities: Sequence[str] = ("image", "text"),
    init_logit_scale: float | None = None,
    entailment: bool = False,
    min_logit_scale: float | None = None,
    alpha_max: float | None = None,
    c_init: float = 1.0,
    learn_c: bool = True,
    c_min: float | None = None,
    c_max: float | None = None,
) -> Geometry:
    """A geometry by name, with the initial values of arXiv 2409.13079.

    Args:
        name: a key of `GEOMETRIES`, or `euclip`, `meru`.
        dim: dimension d of features and points.
        init_logit_scale: log of the initial beta; the table's value when None.
        entailment: choose the table's value for training with the entailment loss.
        min_logit_scale: lower bound of logit_scale; none by default, the upper one is log 100.
        alpha_max: upper bound of alpha; none by default, 1 in MERU.
        c_init, learn_c: curvature of the hyperbolic geometries, in [c_min, c_max], which are
            c_init / 10 and 10 c_init when None.

    Raises:
        ValueError: an unknown name, a dimension or curvature that is not positive, bounds that
            do not hold c_init.
    """
    spec = GEOMETRIES[canonical(name)]
    if dim < 1:
        raise ValueError(f"{name}: dim must be at least 1, got {dim}")
    kind = manifolds.MANIFOLDS[spec.manifold]
    if spec.learned_curvature:
        if not c_init > 0:
            raise ValueError(f"{name}: c must be positive (the curvature is -c), got c={c_init}")
        manifold = kind(  # type: ignore[call-arg]
            c=c_init,
            learnable=learn_c,
            c_min=c_init / 10 if c_min is None else c_min,
            c_max=10 * c_init if c_max is None else c_max,
        )
    else:
        manifold = kind()
    if init_logit_scale is None:
        init_logit_scale = spec.init_logit_scale_entailment if entailment else spec.init_logit_scale
    return Geometry(
        name,
        dim,
        manifold,
        modalities=modalities,
        init_logit_scale=init_logit_scale,
        min_logit_scale=min_logit_scale,
        alpha_max=alpha_max,
    )
