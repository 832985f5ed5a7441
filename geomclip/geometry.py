"""A geometry: a manifold, a lift of features onto it, a logit of two points.

    lorentz, ball = manifolds.Lorentz(learnable=True), manifolds.PoincareBall()
    product = manifolds.Product([lorentz, ball], dims=[256, 256])
    g = Geometry(PRODUCT, product, 512)

Notation: f raw projected feature of dimension d; x, y points; beta = exp(logit_scale); alpha_m
scale of modality m; c magnitude of the curvature. The named ones are the rows of `GEOMETRIES`
(spec.py).
"""

import math
from collections.abc import Callable, Collection, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geomclip import scalars
from geomclip.errors import GeomclipError
from geomclip.lifts import LIFTS, LOGITS, tangent_mean
from geomclip.names import ALIASES
from geomclip.precision import check_together, no_autocast, widen
from geomclip.roots import PointSum
from geomclip.scalars import (
    MAX_LOGIT_SCALE,
    BoundedScalar,
    check_alpha_max,
    check_logit_scale,
)
from geomclip.spaces import build_space, check_dims
from geomclip.spec import GEOMETRIES, PRODUCT, GeometrySpec
from manifolds import Manifold
from manifolds.arguments import check_tensor

__all__ = ["ALIASES", "GEOMETRIES", "PRODUCT", "Geometry", "GeometrySpec", "build_geometry"]


class Geometry(nn.Module):
    """A manifold, a lift and a logit, with the scalars that are learned beside the encoders.

    Computes in float32, or float64 for float64 input, also under autocast; gives that dtype back.

    Args:
        spec: what lift, logit and root are.
        manifold: where the points lie; its `log_c` is the curvature on a log scale.
        dim: d, the dimension of features and of points.
        name: what errors call it; `build_geometry` passes the name the user wrote.
        modalities: names of the encoders.
        init_logit_scale: log beta at the start; None takes `spec.init_logit_scale`.
        min_logit_scale: lower bound of log beta; none by default. The upper bound is log 100.
        alpha_max: upper bound of alpha_m where it is learned; none by default.
        given: the modalities whose encoders give points, not features (`gives_points = True`, as
            `towers.PointTable`): `lift` leaves them as they are, and they have no alpha.

    Raises:
        ValueError: dim < 1 or not that of the product, an initial value outside its bounds, or a
            given modality that is none.
    """

    root_point: Tensor

    def __init__(
        self,
        spec: GeometrySpec,
        manifold: Manifold,
        dim: int,
        *,
        name: str = "geometry",
        modalities: Sequence[str] = ("image", "text"),
        init_logit_scale: float | None = None,
        min_logit_scale: float | None = None,
        alpha_max: float | None = None,
        given: Collection[str] = (),
    ) -> None:
        super().__init__()
        if dim < 1:
            raise ValueError(f"{name}: dim must be at least 1, got {dim}")
        check_dims(name, manifold, dim)
        start = spec.init_logit_scale if init_logit_scale is None else init_logit_scale
        lower = -math.inf if min_logit_scale is None else min_logit_scale
        check_logit_scale(name, start, lower)
        if spec.learned_alpha:
            check_alpha_max(name, alpha_max, dim)
        self.name = name
        self.spec = spec
        self.dim = dim
        self.modalities = tuple(modalities)
        self.given = frozenset(given)
        for modality in sorted(self.given):
            self._check_modality(modality)
        self.min_logit_scale = min_logit_scale
        self.alpha_max = alpha_max
        self.manifold = manifold
        self.logit_scale = nn.Parameter(torch.tensor(float(start)))
        learned = [m for m in self.modalities if spec.learned_alpha and m not in self.given]
        log_alpha = -math.log(dim) / 2
        self.log_alpha = nn.ParameterDict(
            {modality: nn.Parameter(torch.tensor(log_alpha)) for modality in learned}
        )
        if spec.root == "mean":
            # No point of the sphere is 0, so 0 says "not set", in a state dict too.
            self.register_buffer("root_point", torch.zeros(dim))

    def extra_repr(self) -> str:
        """For print(g)."""
        return f"{self.name!r}, dim={self.dim}, lift={self.spec.lift!r}, logit={self.spec.logit!r}"

    @property
    def has_cones(self) -> bool:
        """Whether the manifold has entailment cones."""
        return self.manifold.has_cones

    # --- points and logits ---

    def lift(self, features: Float[Tensor, "*b d"], modality: str) -> Float[Tensor, "*b d"]:
        """The points of raw projected features f (forms and initial values of the published code).

            normalise   f / |f|                                      clip, elliptic
            scale       d^-1/2 f                                     euclidean*
            expmap0     exp_0(alpha_m f), so dist0 = alpha_m |f|     hyperbolic*, poincare

        Of a `given` modality they are points already, and come back as they are.

        Raises:
            ValueError: unknown modality, another dimension, not floating point, or (normalise) zero
                features.
        """
        self._check_modality(modality)
        self._check_dim(features, "features")
        features = widen(features, "features")
        if modality in self.given:
            return features
        alpha = self.alpha(modality)
        with no_autocast(features):
            if isinstance(alpha, Tensor):
                alpha = alpha.to(features.dtype)
            scale = self.spec.tangent_scale * alpha
            what = f"{self.name}, {modality}"
            return LIFTS[self.spec.lift](self.manifold, features, scale, what)

    def alpha(self, modality: str) -> Float[Tensor, ""] | float:
        """Length of a point's tangent vector at the origin over its feature's: the learned
        alpha_m, or d^-1/2. Raises ValueError for a modality that is unknown or given.
        """
        self._check_modality(modality)
        if modality in self.given:
            raise ValueError(f"{self.name}: {modality} gives points, which no alpha scales")
        if not self.spec.learned_alpha:
            return self.dim**-0.5
        return widen(self.log_alpha[modality], "log_alpha").exp()

    def prototype(
        self, features: Float[Tensor, "*b k d"], modality: str = "text"
    ) -> Float[Tensor, "*b d"]:
        """One point for the features of k prompts: the lift of their mean.

        The mean is taken in the tangent space at the root, before the lift; where the lift
        normalises, features are normalised before and after it (as CLIP and MERU do).

        Raises:
            ValueError: no prompts, features that cancel to 0 (normalise), or as `lift`.
        """
        self._check_dim(features, "features")
        if modality in self.given:
            raise ValueError(f"{self.name}: {modality} gives points, which have no prompts")
        directions = self.spec.lift == "normalise"
        mean = tangent_mean(widen(features, "features"), directions, f"{self.name}, {modality}")
        return self.lift(mean, modality)

    def score(
        self, x: Float[Tensor, "*b n d"], y: Float[Tensor, "*b m d"]
    ) -> Float[Tensor, "*b n m"]:
        """logit / beta of every x with every y.

            dot        <x, y> (unit sphere: the cosine)      clip, euclidean-inner
            minkowski  <x, y>_L = <x, y> - x_t y_t           hyperbolic-inner
            -dist      minus the geodesic distance           elliptic, euclidean, hyperbolic, ...
            -dist2     minus its square                      euclidean-squared, hyperbolic-squared

        Raises:
            ValueError: x or y has another dimension, or their dtypes or devices differ.
        """
        self._check_dim(x, "x")
        self._check_dim(y, "y")
        x, y = widen(x, "x"), widen(y, "y")
        check_together(self.name, x, y)
        with no_autocast(x):
            return LOGITS[self.spec.logit](self.manifold, x, y)

    def logits(
        self, x: Float[Tensor, "*b n d"], y: Float[Tensor, "*b m d"]
    ) -> Float[Tensor, "*b n m"]:
        """beta times `score(x, y)`. Raises as `score`."""
        return self.score(x, y) * widen(self.logit_scale, "logit_scale").exp()

    # --- root and cones ---

    @property
    def root(self) -> Float[Tensor, "d"]:
        """Where the hierarchy starts: the origin, or for clip and elliptic the normalised mean of
        all image and text embeddings of the training set.

        Raises:
            GeomclipError: that mean has not been set.
        """
        if self.spec.root == "origin":
            like = widen(self.logit_scale, "logit_scale")
            return self.manifold.origin(self.dim, dtype=like.dtype, device=like.device)
        root = widen(self.root_point, "root")
        if not root.any():
            raise GeomclipError(
                f"{self.name}: its root, the mean of the training embeddings, has not been set",
                "Call set_root_(image_points, text_points) with the points of the training set.",
            )
        return root

    @torch.no_grad()
    def set_root_(
        self,
        *points: Float[Tensor, "_ d"],
        add_up: Callable[[Tensor], Tensor] = lambda sums: sums,
    ) -> None:
        """Set the root of clip and elliptic to the normalised mean of all points, those of each
        modality being one of `points`; where the root is the origin there is nothing to set.

        Args:
            add_up: adds the sums of points over several processes; all of them call this then.

        Raises:
            ValueError: another dimension; or the mean is 0 (also of no points) or not finite.
        """
        for number, part in enumerate(points):
            self._check_dim(part, f"points of modality {number}")
        if self.spec.root == "origin":
            return
        total = PointSum(self.dim, self.root_point.device)
        for part in points:
            total.add(part)
        self.set_root_sum_(total.over(add_up))

    @torch.no_grad()
    def set_root_sum_(self, total: PointSum) -> None:
        """`set_root_` with points that were added up elsewhere. Raises ValueError as there."""
        if self.spec.root == "mean":
            self.root_point.copy_(total.direction(self.name))

    def root_distance(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
        """Distance to the root: geodesic length, or for clip (1 - cos(x, root)) / 2, in 0..1
        (figure 2 of arXiv 2409.13079).

        Raises:
            GeomclipError: the root of clip or elliptic has not been set.
            ValueError: x has another dimension, or is not floating point.
        """
        self._check_dim(x, "x")
        x = widen(x, "x")
        with no_autocast(x):
            if self.spec.root == "origin":
                return self.manifold.dist0(x)
            root = self.root.to(x)
            if self.spec.root_distance == "cosine":
                # On the unit sphere this is (1 - cos) / 2, without its cancellation near the root.
                return (x - root).square().sum(-1) / 4
            return self.manifold.dist(x, root)

    def entailment_loss(
        self,
        parent: Float[Tensor, "n d"],
        child: Float[Tensor, "n d"],
        min_radius: float = 0.1,
    ) -> Float[Tensor, ""]:
        """Mean angle of children outside their parents' cones, radians: `losses.entailment_loss`.

        Raises:
            NotImplementedError: the manifold has no cones.
            ValueError: no pairs, another dimension, or `min_radius` is negative.
        """
        self._check_dim(parent, "parent")
        self._check_dim(child, "child")
        from geomclip.losses.entailment import entailment_loss  # losses imports this module

        return entailment_loss(self.manifold, parent, child, min_radius)

    # --- the learned scalars ---

    def scalars(self) -> dict[str, float]:
        """What to log: logit_scale (log beta); c (of a product factors.0.c, ...), alpha_image,
        alpha_text where they exist.
        """
        values = {"logit_scale": self.logit_scale.item()}
        if self.spec.learned_curvature:
            values |= scalars.curvatures(self.manifold)
        return values | {
            f"alpha_{m}": log_alpha.exp().item() for m, log_alpha in self.log_alpha.items()
        }

    def scalar_parameters(self) -> list[nn.Parameter]:
        """logit_scale, log alpha_m, learned log c's: no weight decay, their own learning rate."""
        return list(self.named_scalar_parameters().values())

    def named_scalar_parameters(self) -> dict[str, nn.Parameter]:
        """`scalar_parameters`, each by the name that its value has in `scalars()`."""
        named = {"logit_scale": self.logit_scale}
        named |= {f"alpha_{modality}": p for modality, p in self.log_alpha.items()}
        return named | scalars.curvature_parameters(self.manifold)

    def apply_bounds_(self) -> dict[str, str]:
        """Bring every scalar back within its bounds; call it after the optimizer's step.

        min_logit_scale <= logit_scale <= log 100; alpha_m <= alpha_max; c as its manifold says.

        Returns:
            The scalars that were outside, by their names in `scalars()`: "lower" or "upper".
        """
        return scalars.apply_bounds_(self._bounded()) | self.manifold.apply_bounds_()

    def at_bound(self) -> dict[str, str]:
        """The scalars that stand at a bound now (or beyond it): "lower" or "upper"."""
        return scalars.at_bound(self._bounded()) | self.manifold.at_bound()

    def _bounded(self) -> list[BoundedScalar]:
        lower = -math.inf if self.min_logit_scale is None else self.min_logit_scale
        upper = math.inf if self.alpha_max is None else math.log(self.alpha_max)
        return [
            BoundedScalar("logit_scale", self.logit_scale, lower, MAX_LOGIT_SCALE),
            *(
                BoundedScalar(f"alpha_{modality}", log_alpha, -math.inf, upper)
                for modality, log_alpha in self.log_alpha.items()
            ),
        ]

    def _check_modality(self, modality: str) -> None:
        if modality not in self.modalities:
            raise ValueError(
                f"{self.name}: unknown modality {modality!r}; one of {', '.join(self.modalities)}"
            )

    def _check_dim(self, x: Tensor, what: str) -> None:
        check_tensor(self.name, what, x)
        if x.ndim == 0 or x.shape[-1] != self.dim:
            raise ValueError(
                f"{self.name}: the last dimension of {what} must be {self.dim}, got shape "
                f"{tuple(x.shape)}"
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
    given: Collection[str] = (),
) -> Geometry:
    """A named geometry with the initial values of its row of `GEOMETRIES`.

    Args:
        name: a row, or an alias: "euclip" is "euclidean-squared", "meru" is "hyperbolic"; or a
            product of manifolds with their dimensions: "lorentz256xsphere256".
        dim: dimension of the projected features.
        modalities: names of the encoders.
        init_logit_scale: log beta at the start; None takes the row's value.
        entailment: the model is trained with the entailment loss; the row may start elsewhere then.
        min_logit_scale: lower bound of log beta (0 in the published code); none by default.
        alpha_max: upper bound of alpha_m (1 in MERU); none by default. Hyperbolic rows and
            products only.
        c_init: initial curvature magnitude. Hyperbolic rows and the curved factors of products
            only; the others have no such scalar.
        learn_c: whether c is learned.
        c_min, c_max: bounds of c; c_init / 10 and 10 c_init by default.
        given: the modalities whose encoders give points, as in `Geometry`.

    Raises:
        ValueError: unknown name, c_init not positive, an initial value outside its bounds, a
            product of another dimension, or entailment asked of a geometry without cones.
    """
    spec, manifold = build_space(name, dim, c=c_init, learn_c=learn_c, c_min=c_min, c_max=c_max)
    if entailment and not manifold.has_cones:
        raise ValueError(
            f"{name} has no entailment cones; train it without entailment, or take a Euclidean or "
            "hyperbolic geometry"
        )
    if init_logit_scale is None and entailment:
        init_logit_scale = spec.init_logit_scale_entailment
    return Geometry(
        spec,
        manifold,
        dim,
        name=name,
        modalities=modalities,
        init_logit_scale=init_logit_scale,
        min_logit_scale=min_logit_scale,
        alpha_max=alpha_max,
        given=given,
    )
