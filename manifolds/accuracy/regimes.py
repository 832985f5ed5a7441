"""The regimes of the accuracy table, as data: what is measured where, and its limit.

A regime is one quantity (or its gradient) on one manifold in one dtype, for points of one kind at
one geodesic radius r. Its error is the largest over the curvatures, the dimensions 2, 64 and 512
and the separations 1e-1 to 1e-12, and its limit a multiple of eps. Section 6 of the limits: 16 eps
for distances (8 for far pairs), 16 to 128 for the maps at the root, 32 for angles, 64 pairwise.
The maps at x have limits of their own; `measure` says what their errors are relative to.
"""

from dataclasses import dataclass

EPS = {"float32": 1.2e-7, "float64": 2.2e-16}
CURVATURES = (0.1, 1.0, 10.0)
SMALL_CURVATURES = (1e-8, 1e-12)
DIMENSIONS = (2, 64, 512)

Radii = tuple[float, ...]


@dataclass(frozen=True)
class Regime:
    """One line of the table."""

    quantity: str
    part: str
    """value, gradient (first order, for every argument) or second (Hessian times vector)."""
    manifold: str
    dtype: str
    kind: str
    r: float
    """Geodesic radius in units of 1/sqrt(c)."""
    limit: float
    """In units of eps."""
    curvatures: tuple[float, ...] = CURVATURES

    @property
    def place(self) -> tuple[str, str, str, str, float, tuple[float, ...]]:
        """Regimes with equal `place` share their points."""
        return self.quantity, self.manifold, self.dtype, self.kind, self.r, self.curvatures

    @property
    def name(self) -> str:
        """quantity/part/manifold/dtype/kind/r."""
        parts = (self.quantity, self.part, self.manifold, self.dtype, self.kind, f"{self.r:g}")
        return "/".join(parts)


@dataclass(frozen=True)
class Rows:
    """Regimes of one quantity on one manifold that have the same limits."""

    quantity: str
    manifold: str
    kinds: str
    """Comma separated."""
    float32: Radii
    float64: Radii
    value: float | None
    gradient: float | None = None
    second: float | None = None
    curvatures: tuple[float, ...] = CURVATURES

    def regimes(self) -> list[Regime]:
        """The regimes of the rows."""
        limits = {"value": self.value, "gradient": self.gradient, "second": self.second}
        return [
            Regime(self.quantity, part, self.manifold, dtype, kind, r, limit, self.curvatures)
            for dtype, radii in (("float32", self.float32), ("float64", self.float64))
            for kind in self.kinds.split(", ")
            for r in radii
            for part, limit in limits.items()
            if limit is not None
        ]


BALL32, BALL64 = (1e-3, 0.1, 1.0, 5.0, 8.0, 12.0, 16.0), (1e-3, 0.1, 1.0, 5.0, 10.0, 20.0, 36.0)
NEAR = "radial, tangential, general"
MIN_RADII = "K=0.001, K=0.1, K=1, K=10"
LOW = (1e-3, 0.1, 1.0)

ROWS = [
    # distances
    Rows("dist", "euclidean", NEAR + ", far, coincident", (1.0,), (1.0,), 8, 16),
    Rows("dist", "sphere", "tangential, far, antipodal, coincident", (1.0,), (1.0,), 16, 32),
    Rows("dist", "lorentz", "radial", (*LOW, 5.0, 10.0), (*LOW, 5.0, 10.0, 20.0, 30.0, 40.0), 16, 16),
    Rows("dist", "lorentz", "tangential, general", (*LOW, 5.0, 10.0), (*LOW, 5.0, 10.0, 20.0, 40.0), 16, 16),
    Rows("dist", "lorentz", "far, opposite", (0.1, 1.0, 10.0, 20.0, 40.0), (0.1, 1.0, 10.0, 20.0, 40.0), 8, 16),
    Rows("dist", "lorentz", "root, origin, short", (1e-3, 1.0, 10.0), (1e-3, 1.0, 10.0, 40.0), 8, 16),
    Rows("dist", "lorentz", "coincident", (1e-3, 1.0, 10.0), (1e-3, 1.0, 10.0, 40.0), 0, 0),
    Rows("dist", "poincare", NEAR, BALL32, BALL64, 16, 32),
    Rows("dist", "poincare", "far, opposite", (1.0, 8.0, 12.0, 16.0), (1.0, 10.0, 20.0, 36.0), 16, 32),
    Rows("dist", "poincare", "root, origin, short", (1e-3, 1.0, 16.0), (1e-3, 1.0, 36.0), 16, 32),
    Rows("dist", "poincare", "coincident", (1e-3, 1.0, 16.0), (1e-3, 1.0, 36.0), 0, 0),
    Rows("dist", "lorentz", "general, far", (1e-4,), (1e-4,), 16, 16, curvatures=SMALL_CURVATURES),
    Rows("dist", "poincare", "general, far", (1e-4,), (1e-4,), 16, 32, curvatures=SMALL_CURVATURES),
    Rows("dist", "euclidean", "far, general", (), (1.0,), None, None, 64),
    Rows("dist", "sphere", "far", (), (1.0,), None, None, 64),
    Rows("dist", "lorentz", "far, general", (), (0.1, 1.0, 5.0), None, None, 256),
    Rows("dist", "poincare", "far, general", (), (0.1, 1.0, 5.0), None, None, 256),
    # all pairs
    Rows("pairwise_dist", "euclidean", NEAR + ", far", (1.0,), (1.0,), 64, 64),
    Rows("pairwise_dist", "sphere", "tangential, far", (1.0,), (1.0,), 64, 64),
    Rows("pairwise_dist", "lorentz", NEAR + ", far", (0.05, 1.0, 5.0, 10.0), (0.05, 1.0), 64, 64),
    Rows("pairwise_dist", "poincare", NEAR + ", far", (0.05, 1.0, 5.0, 10.0), (0.05, 1.0), 64, 64),
    # maps at the root
    Rows("dist0", "lorentz", "root", (*LOW, 10.0, 40.0), (*LOW, 10.0, 20.0, 40.0), 16, 16),
    Rows("dist0", "poincare", "root", (*LOW, 8.0, 16.0), (*LOW, 10.0, 20.0, 36.0), 16, 32),
    Rows("dist0", "sphere", "far", (1.0,), (1.0,), 16, 32),
    Rows("logmap0", "lorentz", "root", (1e-12, *LOW), (1e-12, *LOW), 16, 32),
    Rows("logmap0", "lorentz", "root", (10.0, 20.0, 40.0), (10.0, 20.0, 40.0), 128, 128),
    Rows("logmap0", "poincare", "root", (1e-12, *LOW), (1e-12, *LOW), 16, 32),
    Rows("logmap0", "poincare", "root", (8.0, 16.0), (10.0, 20.0, 36.0), 128, 128),
    Rows("logmap0", "sphere", "far", (1.0,), (1.0,), 16, 32),
    Rows("expmap0", "lorentz", "root", (1e-12, *LOW), (1e-12, *LOW), 16, 32),
    Rows("expmap0", "lorentz", "root", (10.0, 20.0), (10.0, 20.0), 128, 128),
    Rows("expmap0", "poincare", "root", (1e-12, *LOW), (1e-12, *LOW), 16, 32),
    Rows("expmap0", "poincare", "root", (8.0, 15.0), (10.0, 20.0, 35.0), 128, 128),
    Rows("expmap0", "sphere", "root", (1.0,), (1.0,), 16, 32),
    # maps at x
    Rows("expmap", "sphere", "short, long, zero", (1.0,), (1.0,), 16, 64),
    Rows("expmap", "lorentz", "short, long, zero", (*LOW, 5.0), (*LOW, 5.0), 16, 64),
    Rows("expmap", "lorentz", "short, long, zero, outward", (10.0,), (10.0, 20.0), 16),
    Rows("expmap", "lorentz", "inward, inward off", (1.0, 5.0), (1.0, 5.0), 16, 64),
    Rows("expmap", "lorentz", "inward, inward off", (10.0, 14.0), (10.0, 15.0, 20.0), 16),
    Rows("expmap", "poincare", "short, long, zero", (*LOW, 5.0), (*LOW, 5.0), 16, 64),
    Rows("expmap", "poincare", "short, zero, outward", (10.0,), (10.0, 20.0, 30.0), 16),
    Rows("expmap", "poincare", "inward, inward off", (1.0, 5.0), (1.0, 5.0), 16, 64),
    Rows("expmap", "poincare", "inward, inward off", (10.0, 12.0), (10.0, 20.0, 25.0), 16),
    Rows("logmap", "sphere", "tangential, far", (1.0,), (1.0,), 16, 64),
    Rows("logmap", "lorentz", NEAR + ", far, opposite, root", (*LOW, 5.0), (*LOW, 5.0), 16, 64),
    Rows("logmap", "lorentz", NEAR + ", far, opposite, perpendicular", (10.0,), (10.0, 20.0), 16),
    Rows("logmap", "poincare", NEAR + ", far, opposite, root", (*LOW, 5.0), (*LOW, 5.0), 16, 64),
    Rows("logmap", "poincare", NEAR + ", far, opposite", (10.0, 16.0), (10.0, 20.0, 36.0), 16),
    Rows("transp", "sphere", "tangential, far", (1.0,), (1.0,), 16, 64),
    Rows("transp", "lorentz", NEAR + ", far, opposite, root", (*LOW, 5.0), (*LOW, 5.0), 16, 64),
    Rows("transp", "lorentz", NEAR + ", far, opposite, perpendicular", (10.0,), (10.0, 20.0), 16),
    Rows("transp", "poincare", NEAR + ", far, opposite, root", (*LOW, 5.0), (*LOW, 5.0), 16, 64),
    Rows("transp", "poincare", NEAR + ", far, opposite", (10.0, 16.0), (10.0, 20.0, 36.0), 16),
    # cones
    Rows("half_aperture", "euclidean", MIN_RADII, (1e-3, 1.0, 100.0), (1e-3, 1.0, 100.0), 16, 32),
    Rows("half_aperture", "lorentz", MIN_RADII, (1e-3, 1.0, 10.0, 40.0), (1e-3, 1.0, 10.0, 40.0), 16, 32),
    Rows("half_aperture", "poincare", MIN_RADII, (1e-3, 1.0, 8.0, 16.0), (1e-3, 1.0, 20.0, 36.0), 16, 32),
    Rows("exterior_angle", "euclidean", "far, general, tangential", (1.0,), (1.0,), 32, 32),
    Rows("exterior_angle", "euclidean", "axis, behind, on axis", (1.0,), (1.0,), 16, 32),
    Rows("exterior_angle", "lorentz", "far, general, tangential", (*LOW, 5.0, 10.0), (*LOW, 5.0, 10.0, 20.0, 40.0), 32, 32),
    Rows("exterior_angle", "lorentz", "axis, behind, on axis", (*LOW, 5.0, 10.0), (*LOW, 5.0, 10.0, 20.0), 16, 32),
    Rows("exterior_angle", "lorentz", "root, coincident", (1.0, 10.0), (1.0, 10.0, 40.0), 0, 0),
    Rows("exterior_angle", "lorentz", "far, general", (1e-4,), (1e-4,), 32, 32, curvatures=SMALL_CURVATURES),
    Rows("exterior_angle", "poincare", "far, general, tangential", (*LOW, 5.0, 10.0), (*LOW, 5.0, 10.0, 20.0, 36.0), 32, 32),
    Rows("exterior_angle", "poincare", "axis, behind, on axis", (*LOW, 5.0), (*LOW, 5.0, 10.0, 20.0), 16, 32),
    Rows("exterior_angle", "poincare", "root, coincident", (1.0, 16.0), (1.0, 36.0), 0, 0),
    Rows("exterior_angle", "poincare", "far, general", (1e-4,), (1e-4,), 32, 32, curvatures=SMALL_CURVATURES),
    Rows("pairwise_exterior_angle", "euclidean", "far, general", (1.0,), (1.0,), 64),
    Rows("pairwise_exterior_angle", "lorentz", "far, general", (0.1, 1.0, 10.0), (0.1, 1.0), 64),
    Rows("pairwise_exterior_angle", "poincare", "far, general", (0.1, 1.0, 10.0), (0.1, 1.0), 64),
]  # fmt: skip


def regimes() -> list[Regime]:
    """All regimes, in the table's order."""
    return [regime for rows in ROWS for regime in rows.regimes()]
