"""Which case is measured. Loads no torch: the command line parses with it."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from geomclip.errors import RequestError
from geomclip.names import CANONICAL, GEOMETRY_NAMES, canonical

Subject = Literal["pairwise", "loss", "rowwise"]
Dtype = Literal["float32", "float64"]
Precision = Literal["float32", "tf32", "bf16x3"]

# The kernel kind of each geometry's distance, and the manifold of its row-wise operations.
DISTANCES = {
    "elliptic": "sphere",
    "euclidean": "euclidean",
    "euclidean-squared": "euclidean2",
    "hyperbolic": "lorentz",
    "poincare": "poincare",
}
MANIFOLDS = {
    "elliptic": "sphere",
    "euclidean": "euclidean",
    "hyperbolic": "lorentz",
    "poincare": "poincare",
}

COMPETITORS: dict[str, tuple[str, ...]] = {
    "pairwise": (
        "geomclip", "geomclip-torch", "textbook", "compiled", "float64", "geoopt", "hypll", "cdist",
    ),
    "loss": (
        "geomclip", "geomclip-tiled", "geomclip-buffer", "geomclip-torch", "textbook", "compiled",
        "float64", "one-buffer",
    ),
    "rowwise": ("geomclip", "textbook", "geoopt"),
}  # fmt: skip
"""By subject; "floor", the matrix products alone, is always measured beside the first two."""


@dataclass(frozen=True)
class Case:
    """One measurement: its inputs and how they are timed. Raises RequestError if there is none."""

    subject: Subject
    geometry: str = "hyperbolic"
    n: int = 1024
    m: int = 1024
    dim: int = 512
    dtype: Dtype = "float32"
    device: str = "cpu"
    threads: int = 1
    rounds: int = 5
    precision: Precision = "float32"
    close: float = 0.0
    """Share of pairs 1e-6 apart, in tight clusters (pairwise)."""

    def __post_init__(self) -> None:
        for name in ("n", "m", "dim", "threads", "rounds"):
            value = getattr(self, name)
            if value < 1:
                raise RequestError(f"--{name} is {value}", f"Give --{name} 1 or more.")
        if not 0 <= self.close <= 1:
            raise RequestError(f"--close is {self.close:g}", "Give a share of pairs, 0 to 1.")
        if self.geometry not in CANONICAL:
            raise RequestError(
                f'--geometry: there is no "{self.geometry}"', f"One of {', '.join(GEOMETRY_NAMES)}."
            )
        known = {"pairwise": DISTANCES, "rowwise": MANIFOLDS}.get(self.subject)
        if known is not None and self.geometry not in known:
            raise RequestError(
                f"{self.geometry} has no {self.subject} operation of its own to measure",
                f"Choose --geometry {' | '.join(known)}.",
            )
        if self.precision != "float32" and not self.device.startswith("cuda"):
            raise RequestError(
                f"--precision {self.precision} exists on CUDA devices only",
                "Leave it at float32, or give --device cuda.",
            )
        if self.precision != "float32" and self.dtype == "float64":
            raise RequestError(
                f"--precision {self.precision} is one of float32 products", "Leave --dtype out."
            )

    def setting(self) -> dict[str, Any]:
        """What results of this case are stored under."""
        return asdict(self)

    def __str__(self) -> str:
        close = f", {100 * self.close:g} % close" if self.close else ""
        size = f"{self.n} x {self.m}" if self.subject == "pairwise" else f"{self.n}"
        return f"{self.subject} {self.geometry}, {size}, dim {self.dim}{close}"


def row_name(name: str) -> str:
    """The row name behind a geometry's name. Raises RequestError that lists the names."""
    try:
        return canonical(name)
    except ValueError:
        raise RequestError(
            f'--geometry: there is no "{name}"', f"One of {', '.join(GEOMETRY_NAMES)}."
        ) from None


def chosen(subject: str, names: str | None) -> tuple[str, ...]:
    """The competitors of a subject, of those in a comma list; all without one.

    Raises:
        RequestError: a name that no subject knows.
    """
    if names is None:
        return COMPETITORS[subject]
    wanted = [name.strip() for name in names.split(",")]
    known = list(dict.fromkeys(name for row in COMPETITORS.values() for name in row))
    for name in wanted:
        if name not in known:
            raise RequestError(f'--competitors: there is no "{name}"', f"Of: {', '.join(known)}.")
    return tuple(name for name in COMPETITORS[subject] if name in wanted or name == "geomclip")


def gib(size: int) -> str:
    """Bytes for people: 0.10 GiB, 12 MiB."""
    return f"{size / 2**30:.2f} GiB" if size >= 2**26 else f"{size / 2**20:.1f} MiB"
