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
    limit: float | int
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
    value: float | int | None = None
    gradient: float | int | None = None
    second: float | int | None = None
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


NEAR = "radial, tangential, general"
FAR = "far, opposite"
AXIS = "axis, behind, on axis"
MIN_RADII = "K=0.001, K=0.1, K=1, K=10"
LOW = (1e-3, 0.1, 1.0)
MID = (*LOW, 5.0)
HIGH = (*MID, 10.0)
ONE = (1.0,)
BALL32, BALL64 = (*MID, 8.0, 12.0, 16.0), (*HIGH, 20.0, 36.0)
ENDS32, ENDS64 = (1e-3, 1.0, 10.0), (1e-3, 1.0, 10.0, 40.0)
RIM32, RIM64 = (1e-3, 1.0, 16.0), (1e-3, 1.0, 36.0)
FLAT = (1e-4,)

DISTANCES = [
    Rows("dist", "euclidean", NEAR + ", far", ONE, ONE, 8, 16),
    Rows("dist", "euclidean", "coincident", ONE, ONE, 0, 0),
    Rows("dist", "sphere", "tangential, far, antipodal", ONE, ONE, 16, 32),
    Rows("dist", "sphere", "coincident", ONE, ONE, 0, 0),
    Rows("dist", "lorentz", "radial", HIGH, (*HIGH, 20.0, 30.0, 40.0), 16, 16),
    Rows("dist", "lorentz", "tangential, general", HIGH, (*HIGH, 20.0, 40.0), 16, 16),
    Rows("dist", "lorentz", FAR, (*HIGH, 20.0, 40.0), (*HIGH, 20.0, 40.0), 8, 16),
    Rows("dist", "lorentz", "root, origin, short", ENDS32, ENDS64, 8, 16),
    Rows("dist", "lorentz", "coincident", ENDS32, ENDS64, 0, 0),
    Rows("dist", "poincare", NEAR, BALL32, BALL64, 16, 32),
    Rows("dist", "poincare", FAR, BALL32, BALL64, 16, 32),
    Rows("dist", "poincare", "root, origin, short", RIM32, RIM64, 16, 32),
    Rows("dist", "poincare", "coincident", RIM32, RIM64, 0, 0),
    Rows("dist", "lorentz", "general, far", FLAT, FLAT, 16, 16, curvatures=SMALL_CURVATURES),
    Rows("dist", "poincare", "general, far", FLAT, FLAT, 16, 32, curvatures=SMALL_CURVATURES),
    # Second derivatives are those of the formulas in one word, and section 6 has no limit for them:
    # these are what they reach. A Hessian's product with a vector nearly along the geodesic is what
    # two parts of it leave; on the ball the vector is split along x too.
    Rows("dist", "euclidean", "far, general", (), ONE, None, None, 256),
    Rows("dist", "sphere", "far", (), ONE, None, None, 32),
    Rows("dist", "lorentz", "far, general", (), LOW, None, None, 256),
    Rows("dist", "poincare", "far, general", (), LOW, None, None, 1024),
    Rows("pairwise_dist", "euclidean", NEAR + ", far", ONE, ONE, 64, 64),
    Rows("pairwise_dist", "sphere", "tangential, far", ONE, ONE, 64, 64),
    Rows("pairwise_dist", "lorentz", NEAR + ", far", (0.05, 1.0, 5.0, 10.0), (0.05, 1.0), 64, 64),
    Rows("pairwise_dist", "poincare", NEAR + ", far", (0.05, 1.0, 5.0, 10.0), (0.05, 1.0), 64, 64),
    Rows("pairwise_dist", "euclidean", "coincident", ONE, ONE, 0, 0),
    Rows("pairwise_dist", "sphere", "coincident", ONE, ONE, 0, 0),
    Rows("pairwise_dist", "lorentz", "coincident", (1.0, 10.0), ONE, 0, 0),
    Rows("pairwise_dist", "poincare", "coincident", (1.0, 10.0), ONE, 0, 0),
]

ROOT_MAPS = [
    Rows("dist0", "lorentz", "root", (*HIGH, 20.0, 40.0), (*HIGH, 20.0, 40.0), 16, 16),
    Rows("dist0", "poincare", "root", BALL32, BALL64, 16, 32),
    Rows("dist0", "sphere", "far", ONE, ONE, 16, 32),
    Rows("logmap0", "lorentz", "root", (1e-12, *LOW), (1e-12, *LOW), 16, 32),
    Rows("logmap0", "lorentz", "root", (10.0, 20.0, 40.0), (10.0, 20.0, 40.0), 128, 128),
    Rows("logmap0", "poincare", "root", (1e-12, *LOW), (1e-12, *LOW), 16, 32),
    Rows("logmap0", "poincare", "root", (8.0, 16.0), (10.0, 20.0, 36.0), 128, 128),
    Rows("logmap0", "sphere", "far", ONE, ONE, 16, 32),
    Rows("expmap0", "lorentz", "root", (1e-12, *LOW), (1e-12, *LOW), 16, 32),
    Rows("expmap0", "lorentz", "root", (10.0, 20.0), (10.0, 20.0), 128, 128),
    Rows("expmap0", "poincare", "root", (1e-12, *LOW), (1e-12, *LOW), 16, 32),
    Rows("expmap0", "poincare", "root", (8.0, 15.0), (10.0, 20.0), 128, 128),
    # Along u the derivative is exp(-35) of that across: what a fixed g leaves is short of digits.
    Rows("expmap0", "poincare", "root", (), (35.0,), 128, 256),
    Rows("expmap0", "sphere", "root", ONE, ONE, 16, 32),
]

LOGS = NEAR + ", far, opposite"
TEN = (10.0,)

MAPS = [
    Rows("expmap", "sphere", "short, long, zero", ONE, ONE, 16, 64),
    Rows("expmap", "lorentz", "short, long, zero", HIGH, (*HIGH, 20.0), 16, 64),
    Rows("expmap", "lorentz", "outward", TEN, (10.0, 20.0), 16, 64),
    Rows(
        "expmap",
        "lorentz",
        "inward, inward off",
        (1.0, 5.0, 10.0, 14.0),
        (1.0, 5.0, 10.0, 15.0, 20.0),
        16,
        64,
    ),
    Rows("expmap", "poincare", "short, long, zero", MID, MID, 16, 64),
    Rows("expmap", "poincare", "short, zero", TEN, (10.0, 20.0, 30.0), 16, 64),
    Rows("expmap", "poincare", "outward", TEN, (10.0, 20.0), 16, 64),
    Rows(
        "expmap", "poincare", "outward", (), (30.0,), 16
    ),  # ends beyond radius 36 are brought back
    Rows(
        "expmap",
        "poincare",
        "inward, inward off",
        (1.0, 5.0, 10.0, 12.0),
        (1.0, 5.0, 10.0, 20.0),
        16,
        64,
    ),
    # The derivatives of a step across the whole ball cancel by cosh(r)^2, beyond double words.
    Rows("expmap", "poincare", "inward, inward off", (), (25.0,), 16),
    Rows("logmap", "sphere", "tangential, far", ONE, ONE, 16, 64),
    Rows("logmap", "lorentz", LOGS, HIGH, (*HIGH, 20.0), 16, 64),
    Rows("logmap", "lorentz", "root", HIGH, MID, 16, 64),
    Rows("logmap", "lorentz", "perpendicular", TEN, (10.0, 20.0), 16, 64),
    Rows("logmap", "poincare", LOGS, (*HIGH, 16.0), (*HIGH, 20.0, 36.0), 16, 64),
    Rows("logmap", "poincare", "root", MID, MID, 16, 64),
    Rows("transp", "sphere", "tangential, far", ONE, ONE, 16, 64),
    Rows("transp", "lorentz", LOGS, HIGH, (*HIGH, 20.0), 16, 64),
    Rows("transp", "lorentz", "root", HIGH, MID, 16, 64),
    Rows("transp", "lorentz", "perpendicular", TEN, (10.0, 20.0), 16, 64),
    Rows("transp", "poincare", LOGS, (*HIGH, 16.0), (*HIGH, 20.0, 36.0), 16, 64),
    Rows("transp", "poincare", "root", MID, MID, 16, 64),
]

CONES = [
    Rows("half_aperture", "euclidean", MIN_RADII, (3e-3, 1.5, 100.0), (3e-3, 1.5, 100.0), 16, 32),
    Rows("half_aperture", "lorentz", MIN_RADII, ENDS64, ENDS64, 16, 32),
    Rows("half_aperture", "poincare", MIN_RADII, (*RIM32, 8.0), (*RIM64, 20.0), 16, 32),
    Rows("exterior_angle", "euclidean", "far, general, tangential", ONE, ONE, 32, 32),
    Rows("exterior_angle", "euclidean", AXIS, ONE, ONE, 16, 32),
    Rows("exterior_angle", "euclidean", "root, coincident", ONE, ONE, 0, 0),
    Rows(
        "exterior_angle", "lorentz", "far, general, tangential", HIGH, (*HIGH, 20.0, 40.0), 32, 32
    ),
    Rows("exterior_angle", "lorentz", AXIS, HIGH, (*HIGH, 20.0, 40.0), 16, 32),
    Rows("exterior_angle", "lorentz", "root, coincident", (1.0, 10.0), (1.0, 10.0, 40.0), 0, 0),
    Rows(
        "exterior_angle", "lorentz", "general, far", FLAT, FLAT, 32, 32, curvatures=SMALL_CURVATURES
    ),
    Rows("exterior_angle", "poincare", "far, general, tangential", HIGH, BALL64, 32, 32),
    Rows("exterior_angle", "poincare", AXIS, HIGH, (*HIGH, 20.0), 16, 32),
    Rows("exterior_angle", "poincare", "root, coincident", (1.0, 16.0), (1.0, 36.0), 0, 0),
    Rows(
        "exterior_angle",
        "poincare",
        "general, far",
        FLAT,
        FLAT,
        32,
        32,
        curvatures=SMALL_CURVATURES,
    ),
    Rows("pairwise_exterior_angle", "euclidean", "far, general", ONE, ONE, 64),
    Rows("pairwise_exterior_angle", "lorentz", "far, general", (0.1, 1.0, 10.0), (0.1, 1.0), 64),
    Rows("pairwise_exterior_angle", "poincare", "far, general", (0.1, 1.0, 10.0), (0.1, 1.0), 64),
]

ANY = (1e-3, 1.0, 10.0, 40.0)
NARROW = (1e-3, 1.0)

AROUND, PLUNGE = "radial, general, far, opposite, root", "outward, inward, inward off"

HALFSPACE = [
    Rows("dist", "halfspace", "radial, general", ANY, ANY, 16, 16),
    Rows("dist", "halfspace", FAR, ANY, ANY, 8, 16),
    Rows("dist", "halfspace", "root, origin", ANY, ANY, 8, 16),
    Rows("dist", "halfspace", "coincident", ANY, ANY, 0, 0),
    Rows(
        "pairwise_dist", "halfspace", "radial, general, far", (0.05, 1.0, 5.0), (0.05, 1.0), 64, 64
    ),
    Rows("pairwise_dist", "halfspace", "coincident", ONE, ONE, 0, 0),
    Rows("dist0", "halfspace", "root", ANY, ANY, 16, 16),
    Rows("logmap0", "halfspace", "root", NARROW, NARROW, 16, 32),
    Rows("logmap0", "halfspace", "root", (10.0, 20.0), (10.0, 20.0), 128, 128),
    Rows("expmap0", "halfspace", "root", (1e-12, *NARROW), (1e-12, *NARROW), 16, 32),
    Rows("expmap0", "halfspace", "root", (10.0, 20.0), (10.0, 20.0), 128, 128),
    Rows("expmap", "halfspace", "short, long, zero", ANY, ANY, 16, 64),
    Rows("expmap", "halfspace", PLUNGE, (1.0, 10.0), (1.0, 10.0), 16, 64),
    # The gradients of these maps are those of the formulas in one word: 134 and 311 eps at 40.
    Rows("expmap", "halfspace", PLUNGE, (20.0,), (20.0,), 16, 128),
    Rows("logmap", "halfspace", AROUND, (*NARROW, 10.0), (*NARROW, 10.0), 16, 128),
    Rows("logmap", "halfspace", AROUND, (40.0,), (40.0,), 16),
    Rows("transp", "halfspace", AROUND, ANY, ANY, 16, 64),
    Rows("half_aperture", "halfspace", MIN_RADII, ANY, ANY, 16, 32),
    # In double words is what decides where the gradient points, not how two of them cancel: it
    # keeps all but cosh(r) eps.
    Rows("exterior_angle", "halfspace", "far, general", (*NARROW, 10.0), NARROW, 32, 32),
    Rows("exterior_angle", "halfspace", "far, general", (40.0,), (10.0, 40.0), 32),
    Rows("exterior_angle", "halfspace", "axis, behind", (*NARROW, 10.0), NARROW, 16, 32),
    Rows("exterior_angle", "halfspace", "axis, behind", (40.0,), (10.0, 40.0), 16),
    Rows("exterior_angle", "halfspace", "root, coincident", ANY, ANY, 0, 0),
    Rows("pairwise_exterior_angle", "halfspace", "far, general", (0.1, 1.0), (0.1, 1.0), 64),
]

# Lorentz x Sphere, both at c, with as many coordinates each as the dimension says.
PRODUCT = [
    Rows("dist", "product", "tangential, far, root", NARROW, NARROW, 16, 32),
    Rows("dist", "product", "coincident", ONE, ONE, 0, 0),
    Rows("pairwise_dist", "product", "tangential, far", ONE, ONE, 64, 64),
    Rows("pairwise_dist", "product", "coincident", ONE, ONE, 0, 0),
    Rows("dist0", "product", "far", NARROW, NARROW, 16, 32),
    Rows("logmap0", "product", "far", NARROW, NARROW, 16, 32),
    Rows("expmap", "product", "short, long, zero", NARROW, NARROW, 16, 64),
    Rows("logmap", "product", "tangential, far", NARROW, NARROW, 16, 64),
    Rows("transp", "product", "tangential, far", NARROW, NARROW, 16, 64),
]

ROWS = [*DISTANCES, *ROOT_MAPS, *MAPS, *CONES, *HALFSPACE, *PRODUCT]


def regimes() -> list[Regime]:
    """All regimes, in the table's order."""
    return [regime for rows in ROWS for regime in rows.regimes()]
