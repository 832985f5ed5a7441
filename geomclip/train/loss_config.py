"""What a run minimises, as one dataclass: flags, TOML and help in one. Loads no torch."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from geomclip.errors import RequestError

if TYPE_CHECKING:
    from geomclip.train.modality_config import Roles


@dataclass(frozen=True)
class LossConfig:
    """The contrastive loss and what is added to it; the entailment loss has options of its own."""

    contrastive: Literal[
        "info_nce", "sigmoid", "supcon", "individual", "angle", "hycoclip", "gram", "pmrl"
    ] = "info_nce"
    """`info_nce` is CLIP's, `sigmoid` SigLIP's, `supcon` takes all pictures of a label as one's
    positives, `individual` learns a temperature for every sample, `angle` compares angles in place
    of distances, `hycoclip` adds boxes and their words, `gram` and `pmrl` compare three or more
    modalities at once. Of several pairs of modalities the mean is taken."""
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
    anchor: str = ""
    """Gram: the modality that is compared with all others; the first text when empty."""
    tau_alignment: float = 0.1
    """Pmrl: temperature of a sample's singular values; that of samples is exp(-logit_scale)."""
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
        self._check("tau_alignment", 0 < self.tau_alignment < math.inf, "positive")
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
                f"--loss.contrastive {self.contrastive}": self.contrastive in ("angle", "hycoclip"),
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

    def check_roles(self, roles: "Roles") -> None:
        """Raises RequestError where the modalities of a run are not those that the losses need."""
        contrastive, names = self.contrastive, roles.contrasted
        asked = f"--loss.contrastive {contrastive}"
        if contrastive in ("gram", "pmrl") and len(names) < 3:
            raise RequestError(
                f"{asked}: it compares three modalities or more, and the pairs to contrast have "
                f"{len(names)}: {', '.join(names)}",
                "Write a table [modalities.NAME] for each (docs/modalities.md).",
            )
        if contrastive == "gram" and self.anchor and self.anchor not in names:
            raise RequestError(
                f'--loss.anchor: "{self.anchor}" is not contrasted', f"One of {', '.join(names)}."
            )
        if contrastive == "individual" and len(roles.pairs) > 1:
            raise RequestError(
                f"{asked}: temperatures are kept for one pair of modalities, and there are "
                f"{len(roles.pairs)} to contrast",
                "Name one: --contrast A:B.",
            )
        apart = set(names) - {name for link in roles.links for name in link}
        if contrastive == "angle" and apart:
            raise RequestError(
                f"{asked}: it compares parents with children, and {', '.join(sorted(apart))} is "
                "neither",
                "Say what entails what: --entails PARENT:CHILD ....",
            )
        if self.chains > 0 and not (roles.text and roles.image):
            raise RequestError(
                f"--loss.chains {self.chains}: labels are texts above a picture, and no modality "
                f"reads {'captions or names' if roles.image else 'the picture'}",
                "Leave it out, or add the modality.",
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
