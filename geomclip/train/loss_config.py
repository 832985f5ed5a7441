"""What a run minimises, as one dataclass: flags, TOML and help in one. Loads no torch."""

import math
from dataclasses import dataclass
from typing import Literal

from geomclip.errors import RequestError


@dataclass(frozen=True)
class LossConfig:
    """The contrastive loss and what is added to it; the entailment loss has options of its own."""

    contrastive: Literal["info_nce", "sigmoid", "supcon", "individual", "angle"] = "info_nce"
    """`info_nce` is CLIP's, `sigmoid` SigLIP's, `supcon` takes all pictures of a label as one's
    positives, `individual` learns a temperature for every sample, `angle` compares angles in place
    of distances."""
    bias_form: Literal["absolute", "relative"] = "absolute"
    """Sigmoid: learn the bias itself, or the score where a pair is a coin toss."""
    bias_init: float | None = None
    """Sigmoid: bias at the start; minus the log of the other pairs in a row when not given."""
    levels: tuple[float, ...] = (1.0,)
    """Supcon: weights of the label path's levels, the most general first (emoji: group, subgroup,
    name)."""
    tau_init: float = 0.05
    """Individual: temperature of every sample at the start, in units of the geometry's score."""
    tau_min: float = 0.005
    """Individual: lower bound of the temperatures."""
    tau_max: float = 1.0
    """Individual: upper bound of the temperatures."""
    tau_rho: float = 1.0
    """Individual: nats that a sample's weights of its negatives may differ from uniform; keep it
    below the log of the batch size."""
    tau_rate: float = 0.01
    """Individual: step size of the temperatures."""
    tau_momentum: float = 0.9
    """Individual: share of a new gradient in a temperature's moving average."""
    tau_decay: float = 0.9
    """Individual: share of the batch's own mean in that of a sample's negatives."""
    alignment: float = 0.0
    """Weight of the mean squared distance of partners."""
    uniformity: float = 0.0
    """Weight of the uniformity of each modality, the mean of both."""
    cross_uniformity: float = 0.0
    """Weight of the uniformity across the modalities."""
    spread: float = 2.0
    """The t of the uniformities' exp(-t d^2)."""
    metric: Literal["geodesic", "chord"] = "geodesic"
    """Distance of alignment and uniformities; `chord` is the papers', on the sphere."""
    chains: float = 0.0
    """Weight of the entailment over label paths: every label entails the one below it, the last
    one the picture."""
    links: Literal["adjacent", "all"] = "adjacent"
    """Chains: each label answers to the one above it, or to all above it."""

    def __post_init__(self) -> None:
        for name in ("alignment", "uniformity", "cross_uniformity", "chains", "tau_rho"):
            self._check(name, getattr(self, name) >= 0, "0 or more")
        self._check("tau_rate", self.tau_rate >= 0, "0 or more")
        self._check("spread", self.spread > 0, "positive")
        self._check("tau_momentum", 0 < self.tau_momentum <= 1, "in (0, 1]")
        self._check("tau_decay", 0 < self.tau_decay <= 1, "in (0, 1]")
        self._check("bias_init", self.bias_init is None or math.isfinite(self.bias_init), "finite")
        self._check(
            "tau_init",
            0 < self.tau_min <= self.tau_init <= self.tau_max < math.inf,
            f"between tau_min {self.tau_min} and tau_max {self.tau_max}, all positive",
        )
        self._check(
            "levels",
            all(w >= 0 for w in self.levels) and any(self.levels),
            "weights of 0 or more, not all 0",
        )

    def check_geometry(self, geometry: str, *, cones: bool, sphere: bool) -> None:
        """Raises RequestError where a geometry of that name has not what the losses ask for."""
        wanting = [
            flag
            for flag, asked in {
                "--loss.contrastive angle": self.contrastive == "angle",
                f"--loss.chains {self.chains}": self.chains > 0,
            }.items()
            if asked
        ]
        if wanting and not cones:
            raise RequestError(
                f"{wanting[0]}: {geometry} has no entailment cones",
                "Leave it out, or take a Euclidean or hyperbolic geometry.",
            )
        if self.metric == "chord" and not sphere:
            raise RequestError(
                f"--loss.metric chord: the points of {geometry} do not lie on a sphere",
                "Use --loss.metric geodesic, or --geometry clip or elliptic.",
            )

    @property
    def needs_labels(self) -> bool:
        """Whether a batch has to come with its label paths."""
        return self.contrastive == "supcon" or self.chains > 0

    def _check(self, name: str, holds: bool, rule: str) -> None:
        if not holds:
            raise RequestError(
                f"loss.{name} must be {rule}, got {getattr(self, name)}",
                f"Give another --loss.{name.replace('_', '-')}.",
            )
