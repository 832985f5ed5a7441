"""Products of manifolds: points are the factors' points, concatenated; d^2 = sum of the factors'.

Every operation is the factors' own, on their coordinates; only lengths meet.

    >>> import manifolds
    >>> m = manifolds.Product([manifolds.Lorentz(c=2.0), manifolds.Sphere()], dims=[3, 4])
    >>> m.origin(7).tolist()
    [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from manifolds.arguments import (
    check_search,
    check_tensor,
    shapes_of,
    sized,
    time,
    weighted,
    whole,
    work_dtype,
)
from manifolds.base import Manifold, Point, kept
from manifolds.numerics import safe_norm
from manifolds.random import checked_std, fits


class Product(Manifold):
    """Product of factors, each with its own curvature; it has no c of its own and no cones.

    Args:
        factors: manifolds, products among them; kept in `factors`.
        dims: how many coordinates of a point each factor takes.

    Raises:
        TypeError: no lists, or dims that are no whole numbers.
        ValueError: no factors, not as many dims as factors, or a factor's d below its smallest.
    """

    name = "Product"

    def __init__(self, factors: Sequence[Manifold], dims: Sequence[int]) -> None:
        super().__init__()
        for kind, given in (("factors", factors), ("dims", dims)):
            if not isinstance(given, Iterable) or isinstance(given, Manifold):
                raise TypeError(f"Product: {kind} must be a list, got {given!r}")
        factors, dims = list(factors), list(dims)
        if not factors or len(factors) != len(dims):
            raise ValueError(
                f"Product: needs factors and as many dims, got {len(factors)} factors and "
                f"dims={list(dims)}"
            )
        dims = [whole("Product", "dims", d, dims) for d in dims]
        for i, (m, d) in enumerate(zip(factors, dims, strict=True)):
            if not isinstance(m, Manifold):
                raise ValueError(f"Product: factor {i} must be a manifold, got {m!r}")
            smallest = m.dim if isinstance(m, Product) else m.min_dim
            if d < smallest or (isinstance(m, Product) and d != smallest):
                rule = (
                    f"dims[{i}] must be {'' if isinstance(m, Product) else 'at least '}{smallest}"
                )
                raise ValueError(f"Product: {rule} on factor {i} ({m.name}), got {d}")
        self.factors = nn.ModuleList(factors)
        self.dims = tuple(dims)
        self.codim = sum(m.codim for m in factors)
        self.min_dim = self.dim
        self.reversible = all(m.reversible for m in factors)

    @property
    def dim(self) -> int:
        """d, the number of coordinates of a point."""
        return sum(self.dims)

    def extra_repr(self) -> str:
        """For print(m)."""
        parts = zip(self._all(), self.dims, strict=True)
        return ", ".join(f"{d}: {m!r}" for m, d in parts)

    # --- curvature ---

    @property
    def c(self) -> Tensor:
        """Raises AttributeError: the factors have one each."""
        raise AttributeError

    def __getattr__(self, name: str) -> Any:
        if name == "c":
            raise AttributeError(
                "Product: no c of its own; its factors have one each: factors[i].c"
            )
        return super().__getattr__(name)

    @property
    def learnable(self) -> bool:
        """Whether the c of any factor learns."""
        return any(m.learnable for m in self._all())

    def apply_bounds_(self) -> dict[str, str]:
        """`Manifold.apply_bounds_` of every factor: {"factors.0.c": "lower"}."""
        return self._named(lambda m: m.apply_bounds_())

    def at_bound(self) -> dict[str, str]:
        """`Manifold.at_bound` of every factor: {"factors.0.c": "lower"}."""
        return self._named(lambda m: m.at_bound())

    def _named(self, of: Callable[[Manifold], dict[str, str]]) -> dict[str, str]:
        return {
            f"factors.{i}.{name}": bound
            for i, m in enumerate(self._all())
            for name, bound in of(m).items()
        }

    # --- parts ---

    def _all(self) -> list[Manifold]:
        return list(self.factors)  # type: ignore[arg-type]

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        """The coordinates (..., dims[i]) of each factor.

        Raises:
            ValueError: the last dimension is not `dim`.
        """
        if x.ndim == 0 or x.shape[-1] != self.dim:
            raise ValueError(f"Product: {self._rule()}, got shape {tuple(x.shape)}")
        return x.split(self.dims, -1)

    def _check(self, op: str, *tensors: Tensor, pairwise: bool = False) -> torch.dtype:
        out = super()._check(op, *tensors, pairwise=pairwise)
        if tensors[0].shape[-1] != self.dim:
            shapes = shapes_of(f"Product.{op}", tensors)
            raise ValueError(f"Product.{op}: {self._rule()}, got shapes {shapes}")
        return out

    def _rule(self) -> str:
        return f"the last dimension must be {self.dim} = sum of dims {list(self.dims)}"

    def _parts(
        self, op: str, *tensors: Tensor, pairwise: bool = False
    ) -> list[tuple[Manifold, tuple[Tensor, ...]]]:
        self._check(op, *tensors, pairwise=pairwise)
        parts = zip(*(self.split(t) for t in tensors), strict=True)
        return list(zip(self._all(), parts, strict=True))

    def _join(self, op: str, *tensors: Tensor) -> Tensor:
        """cat of the factors' `op`, whose results are vectors."""
        results = [getattr(m, op)(*parts) for m, parts in self._parts(op, *tensors)]
        return torch.cat(_spread(results), -1)

    def _length(self, op: str, *tensors: Tensor, pairwise: bool = False) -> Tensor:
        """Euclidean norm of the factors' lengths, in the work dtype and back."""
        lengths = [
            getattr(m, op)(*parts) for m, parts in self._parts(op, *tensors, pairwise=pairwise)
        ]
        stacked = torch.stack(lengths, -1)
        return safe_norm(stacked.to(work_dtype(stacked.device))).squeeze(-1).to(stacked.dtype)

    def _sum(self, op: str, *tensors: Tensor, pairwise: bool = False) -> Tensor:
        results = [
            getattr(m, op)(*parts) for m, parts in self._parts(op, *tensors, pairwise=pairwise)
        ]
        return torch.stack(results, -1).sum(-1)

    # --- distances ---

    def dist(self, x: Point, y: Point, *, keepdim: bool = False) -> Tensor:
        """sqrt(sum of the factors' squared distances)."""
        return kept(self._length("dist", x, y), keepdim)

    def dist0(self, x: Point, *, keepdim: bool = False) -> Tensor:
        return kept(self._length("dist0", x), keepdim)

    def dist2(self, x: Point, y: Point, *, keepdim: bool = False) -> Tensor:
        return kept(self._sum("dist2", x, y), keepdim)

    def pairwise_dist(self, x: Float[Tensor, "*#b n d"], y: Float[Tensor, "*#b m d"]) -> Tensor:
        return self._length("pairwise_dist", x, y, pairwise=True)

    def pairwise_dist2(self, x: Float[Tensor, "*#b n d"], y: Float[Tensor, "*#b m d"]) -> Tensor:
        return self._sum("pairwise_dist2", x, y, pairwise=True)

    # --- tangent vectors ---

    def inner(self, x: Point, u: Point, v: Point | None = None, *, keepdim: bool = False) -> Tensor:
        return kept(self._sum("inner", x, u, u if v is None else v), keepdim)

    def component_inner(self, x: Point, u: Point, v: Point | None = None) -> Tensor:
        """Every factor's inner product at each of its coordinates (..., d).

        geoopt's adaptive optimizers call it: they scale each factor's step by itself.
        """
        parts = self._parts("inner", x, u, u if v is None else v)
        results = [m.inner(*p, keepdim=True).expand(*p[1].shape) for m, p in parts]
        return torch.cat(_spread(results), -1)

    def norm(self, x: Point, u: Point, *, keepdim: bool = False) -> Tensor:
        return kept(self._length("norm", x, u), keepdim)

    def proju(self, x: Point, u: Point) -> Tensor:
        return self._join("proju", x, u)

    def egrad2rgrad(self, x: Point, u: Point) -> Tensor:
        return self._join("egrad2rgrad", x, u)

    # --- maps ---

    def expmap(self, x: Point, u: Point) -> Tensor:
        return self._join("expmap", x, u)

    def expmap0(self, u: Point) -> Tensor:
        return self._join("expmap0", u)

    def logmap(self, x: Point, y: Point) -> Tensor:
        return self._join("logmap", x, y)

    def logmap0(self, x: Point) -> Tensor:
        return self._join("logmap0", x)

    def transp(self, x: Point, y: Point, v: Point) -> Tensor:
        return self._join("transp", x, y, v)

    def transp0(self, y: Point, v: Point) -> Tensor:
        return self._join("transp0", y, v)

    def to_frame(self, x: Point, v: Point) -> Tensor:
        return self._join("to_frame", x, v)

    def from_frame(self, x: Point, z: Point) -> Tensor:
        return self._join("from_frame", x, z)

    def retr(self, x: Point, u: Point) -> Tensor:
        return self._join("retr", x, u)

    def geodesic(self, t: float | int | Tensor, x: Point, y: Point) -> Tensor:
        time("Product.geodesic", t, x, y)
        parts = self._parts("geodesic", x, y)
        return torch.cat(_spread([m.geodesic(t, *p) for m, p in parts]), -1)

    # --- means ---

    def midpoint(self, x: Point, y: Point) -> Tensor:
        return self._join("midpoint", x, y)

    def weighted_midpoint(
        self, x: Float[Tensor, "*b d"], w: Tensor | None = None, dim: int = -2
    ) -> Tensor:
        weighted("Product.weighted_midpoint", x, w, dim)
        parts = self._parts("weighted_midpoint", x)
        return torch.cat([m.weighted_midpoint(part, w, dim) for m, (part,) in parts], -1)

    def frechet_mean(
        self,
        x: Float[Tensor, "*b d"],
        w: Tensor | None = None,
        dim: int = -2,
        *,
        tol: float | None = None,
        max_iter: int = 100,
    ) -> Tensor:
        """The factors' means: the sum of squared distances splits. tol holds for each."""
        weighted("Product.frechet_mean", x, w, dim)
        check_search("Product.frechet_mean", tol, max_iter)
        parts = self._parts("frechet_mean", x)
        return torch.cat(
            [m.frechet_mean(part, w, dim, tol=tol, max_iter=max_iter) for m, (part,) in parts], -1
        )

    # --- points ---

    def projx(self, x: Point) -> Tensor:
        return self._join("projx", x)

    def origin(
        self,
        *size: int | tuple[int, ...],
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        seed: int | None = 42,
    ) -> Tensor:
        return self._made("origin", size, dtype=dtype, device=device)

    def random(self, *size: int | tuple[int, ...], **options: Any) -> Tensor:
        """Each factor's `random`."""
        return self._made("random", size, **options)

    def random_normal(
        self,
        *size: int | tuple[int, ...],
        mean: Tensor | None = None,
        std: float | Tensor = 1.0,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        leading = self._leading("random_normal", size, dtype)
        checked_std("Product.random_normal", std, leading)
        if mean is not None:
            check_tensor("Product.random_normal", "mean", mean)
            fits("Product.random_normal", "mean", mean.shape, (*leading, self.dim))
        means = [None] * len(self.dims) if mean is None else self.split(mean)
        options = {"std": std, "dtype": dtype, "device": device, "generator": generator}
        return torch.cat(
            [
                m.random_normal(*leading, d, mean=at, **options)  # type: ignore[arg-type]
                for m, d, at in zip(self._all(), self.dims, means, strict=True)
            ],
            -1,
        )

    def log_normal_density(
        self, x: Point, mean: Tensor | None = None, std: float | Tensor = 1.0
    ) -> Tensor:
        points = (x,) if mean is None else (x, mean)
        parts = self._parts("log_normal_density", *points)
        terms = [
            m.log_normal_density(p[0], p[1] if mean is not None else None, std) for m, p in parts
        ]
        return torch.stack(terms, -1).sum(-1)

    def _leading(
        self, op: str, size: tuple[int | Sequence[int], ...], dtype: torch.dtype | None
    ) -> tuple[int, ...]:
        flat = sized(f"Product.{op}", size, dtype)
        if flat[-1] != self.dim:
            raise ValueError(
                f"Product.{op}: size must end in {self.dim} = sum of dims {list(self.dims)}, "
                f"got {flat}"
            )
        return flat[:-1]

    def _made(self, op: str, size: tuple[int | tuple[int, ...], ...], **options: Any) -> Tensor:
        leading = self._leading(op, size, options.get("dtype"))
        parts = zip(self._all(), self.dims, strict=True)
        return torch.cat([getattr(m, op)(*leading, d, **options) for m, d in parts], -1)

    # --- checks of values ---

    def _check_shape(self, shape: Sequence[int], name: str) -> tuple[bool, str | None]:
        if not shape or shape[-1] != self.dim:
            return False, f"{name}: {self._rule()}, got shape {tuple(shape)}"
        return True, None

    def _check_point_on_manifold(
        self, x: Tensor, *, atol: float = 1e-5, rtol: float = 1e-5
    ) -> tuple[bool, str | None]:
        for i, (m, (part,)) in enumerate(self._parts("check_point", x)):
            ok, reason = m._check_point_on_manifold(part, atol=atol, rtol=rtol)
            if not ok:
                return False, f"{self._where(i)}: {reason}"
        return True, None

    def _check_vector_on_tangent(
        self, x: Tensor, u: Tensor, *, atol: float = 1e-5, rtol: float = 1e-5
    ) -> tuple[bool, str | None]:
        for i, (m, parts) in enumerate(self._parts("check_vector", x, u)):
            ok, reason = m._check_vector_on_tangent(*parts, atol=atol, rtol=rtol)
            if not ok:
                return False, f"{self._where(i)}: {reason}"
        return True, None

    def _where(self, i: int) -> str:
        start = sum(self.dims[:i])
        return f"factor {i} ({self._all()[i].name}, coordinates {start}:{start + self.dims[i]})"


def _spread(results: list[Tensor]) -> list[Tensor]:
    """Results of all factors with the same leading dimensions, for cat."""
    leading = torch.broadcast_shapes(*(r.shape[:-1] for r in results))
    return [r.expand(*leading, r.shape[-1]) for r in results]
