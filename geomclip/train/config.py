"""TrainConfig: one frozen dataclass is the flags, the TOML schema and the help. Loads no torch."""

import dataclasses
import tomllib
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Literal

import tomli_w

from geomclip.data.config import DataConfig
from geomclip.errors import RequestError
from geomclip.names import CANONICAL, CHOICES, canonical, family, has_cones, known
from geomclip.train.layers import read_layers
from geomclip.train.loss_config import LossConfig
from geomclip.train.modality_config import (
    IMAGE_TEXT,
    ModalityConfig,
    Roles,
    box_roles,
    check_boxes,
)
from geomclip.train.overlay import prune, update

# 256 bytes, 256 bytes at the end of a word, start and end of text: CLIP's layout.
MIN_VOCAB_SIZE = 514

# What `report_to` may name.
TRACKERS = ("tensorboard", "wandb")


@dataclass(frozen=True)
class ImageTowerConfig:
    """The image encoder."""

    kind: Literal["convnet", "vit"] = "convnet"
    """`vit` is CLIP's vision transformer; `convnet` a small residual network, which learns more per
    CPU second."""
    image_size: int = 32
    """Side of the square input, pixels."""
    width: int = 32
    """Transformer width, or channels of the ConvNet's first stage (doubled at each further one)."""
    layers: int = 3
    """Transformer blocks, or stages of the ConvNet."""
    heads: int = 4
    """Attention heads (vit)."""
    patch_size: int = 4
    """Side of a patch, pixels (vit)."""
    stem: Literal["patch", "conv"] = "patch"
    """`patch` is CLIP's; `conv` a stack of stride-2 convolutions (vit)."""
    pool: Literal["cls", "mean"] = "cls"
    """What the transformer's output is read from (vit)."""
    quick_gelu: bool = False
    """x * sigmoid(1.702 x) in place of GELU, as in OpenAI's checkpoints (vit)."""


@dataclass(frozen=True)
class TextTowerConfig:
    """The text encoder: CLIP's causal transformer."""

    context_length: int = 16
    """Tokens a text is cut to, start and end included."""
    vocab_size: int = 2000
    """Entries of the byte-pair vocabulary."""
    tokenizer: str = ""
    """File of the vocabulary: CLIP's bpe_simple_vocab_16e6.txt.gz, vocab.json (merges.txt beside
    it) or a tokenizer.json. One is made of the training texts when empty."""
    width: int = 64
    """Transformer width."""
    layers: int = 2
    """Transformer blocks."""
    heads: int = 4
    """Attention heads."""
    pool: Literal["eot", "mean"] = "eot"
    """Read the end-of-text token (CLIP), or the mean over real tokens."""
    quick_gelu: bool = False
    """x * sigmoid(1.702 x) in place of GELU, as in OpenAI's checkpoints."""


@dataclass(frozen=True)
class ModelConfig:
    """Two towers and the dimension of the space they meet in."""

    embed_dim: int = 64
    """Dimension of the embedding space."""
    final_layernorm: bool = True
    """LayerNorm before each projection; `False` is the paper's no-final-LN variant."""
    image: ImageTowerConfig = field(default_factory=ImageTowerConfig)
    text: TextTowerConfig = field(default_factory=TextTowerConfig)


@dataclass(frozen=True)
class CaptionConfig:
    """How a caption is drawn for a picture at each step: weights of the kinds it can be."""

    text: float = 0.5
    """One of the picture's captions in full (emoji: the name)."""
    text_keyword: float = 0.1
    """The name and one keyword."""
    keywords: float = 0.12
    """One to three keywords."""
    ancestor_text: float = 0.08
    """"ancestor: name"."""
    ancestors: tuple[float, ...] = (0.08, 0.12)
    """Labels of the path above the name, most general first (emoji: group, subgroup)."""
    label_text: float = 0.0
    """"label: text", the label the last of the path (RedCaps: the subreddit)."""
    split_label: bool = False
    """Take the words of `label_text`'s label apart, as in itookapicture (extra `data`)."""
    template: float = 0.35
    """Share of captions wrapped in a prompt template."""


@dataclass(frozen=True)
class AugmentConfig:
    """Random changes to a training picture; all off at 0."""

    crop: tuple[float, float] = (1.0, 1.0)
    """Range of a random crop's area, share of the picture's; aspects from 3/4 to 4/3."""
    rotate: float = 0.15
    """Largest rotation, radians."""
    scale: tuple[float, float] = (0.85, 1.1)
    """Range of the scale factor."""
    shift: float = 0.1
    """Largest shift, share of the side."""
    flip: float = 0.0
    """Share of pictures mirrored left-right."""
    background: float = 0.3
    """Share of pictures with a random colour behind their transparent parts; white for the rest."""
    brightness: float = 0.15
    """Largest relative change of brightness and contrast."""
    saturation: float = 0.3
    """Largest relative change of saturation."""
    channel_shift: float = 0.05
    """Largest shift of a colour channel, on the scale 0 to 1."""

    def __post_init__(self) -> None:
        if not 0 < self.crop[0] <= self.crop[1] <= 1:
            raise RequestError(
                f"augment.crop must be a range of shares of the picture, got {self.crop}",
                "Give 0 < the smallest <= the largest <= 1, such as 0.5 1.",
            )


@dataclass(frozen=True)
class TrainConfig:
    """One training run. The same dataclass is the flags, the TOML file and this help."""

    geometry: str = "euclip"
    """Name of the geometry, or a product of manifolds: lorentz16xsphere16."""
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    captions: CaptionConfig = field(default_factory=CaptionConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    modalities: dict[str, ModalityConfig] = field(default_factory=lambda: dict(IMAGE_TEXT))
    """The modalities by name. Tables [modalities.NAME] in a TOML file take the place of image and
    text."""
    contrast: tuple[str, ...] = ()
    """Pairs of modalities to contrast, each A:B; all pairs when empty."""
    entails: tuple[str, ...] = ()
    """Pairs PARENT:CHILD for the entailment loss; when empty the texts of the contrasted pairs
    entail their pictures."""
    seed: int = 0
    """Seed of weights, data order, captions and augmentation."""
    steps: int = 1000
    """Optimizer steps."""
    batch_size: int = 128
    """Pairs a step, over all processes."""
    overfit: int = 0
    """Train on so many pairs alone, all of them at every step, each with its first caption and no
    augmentation: a check that the loss can fall to 0. It sets batch_size, captions and augment."""
    accumulate: int = 1
    """Parts that a process computes its pairs in, for less memory; the step is that of the whole
    batch (cached embeddings, about 4/3 of the work)."""
    lr: float = 3e-3
    """Peak learning rate."""
    scalar_lr: float = 3e-3
    """Peak learning rate of logit_scale, alpha and c."""
    scalar_lrs: dict[str, float] = field(default_factory=dict)
    """Peak learning rates of single scalars by name, as in metrics.jsonl (alpha: all modalities;
    c: every factor's); scalar_lr for the others, 0 holds one."""
    weight_decay: float = 0.1
    """Decoupled decay of matrices and kernels; norms, biases and scalars have none."""
    betas: tuple[float, float] = (0.9, 0.98)
    """AdamW's moment decays."""
    eps: float = 1e-6
    """AdamW's epsilon."""
    warmup: float = 0.1
    """Share of the steps over which the learning rate rises linearly; a cosine to 0 follows."""
    clip_norm: float = 1.0
    """Largest gradient norm; 0 turns clipping off."""
    init_logit_scale: float | None = None
    """Log of the initial temperature factor; the geometry's own value when not given."""
    min_logit_scale: float | None = None
    """Lower bound of logit_scale; none by default."""
    alpha_max: float | None = None
    """Upper bound of alpha (hyperbolic geometries); MERU's is 1."""
    c_init: float = 1.0
    """Initial curvature magnitude (hyperbolic geometries)."""
    c_min: float | None = None
    """Lower bound of c; c_init / 10 when not given."""
    c_max: float | None = None
    """Upper bound of c; 10 c_init when not given."""
    learn_c: bool = True
    """Learn the curvature."""
    entailment: float = 0.0
    """Weight lambda of the entailment loss; 0 turns it off."""
    entailment_start: float = 0.0
    """Share of the steps before which the entailment weight is 0."""
    entailment_full: float = 0.0
    """Share of the steps at which the entailment weight reaches lambda, linearly from its start."""
    min_radius: float = 0.1
    """Cone constant K; a length in Euclidean space, dimensionless on the hyperboloid."""
    final_min_radius: float | None = None
    """K at the last step, reached linearly; constant when not given."""
    log_every: int = 10
    """Steps between lines of metrics.jsonl."""
    checkpoint_every: int = 200
    """Steps between checkpoints."""
    keep_checkpoints: int = 2
    """Checkpoints kept; older ones are removed."""
    report_to: str = ""
    """Where the numbers of metrics.jsonl go beside it: `tensorboard`, `wandb`, or both with a comma
    between (extra `log`)."""
    device: str = "cpu"
    """Torch device; `cuda` is a GPU of its own for every process."""
    precision: Literal["float32", "bf16"] = "float32"
    """What the towers compute in; weights, geometry and loss stay in float32."""
    grad_checkpointing: bool = False
    """Compute the towers' activations anew in the backward pass: less memory, about 4/3 of the
    work."""
    compile: bool = False
    """Compile the towers (torch.compile): minutes at the start, faster steps on a GPU."""
    exchange: Literal["gather", "ring"] = "gather"
    """How processes see each other's pairs: all at once, or one block after the other in memory
    that does not grow with their number."""
    threads: int = 1
    """CPU threads; 1 gives the same numbers whatever the number of cores, and the most work per CPU
    second."""

    def __post_init__(self) -> None:
        if not known(self.geometry):
            raise RequestError(f'geometry: there is no "{self.geometry}"', CHOICES)
        positive = {
            "steps": self.steps, "batch_size": self.batch_size, "lr": self.lr,
            "c_init": self.c_init, "threads": self.threads, "log_every": self.log_every,
            "checkpoint_every": self.checkpoint_every, "keep_checkpoints": self.keep_checkpoints,
            "accumulate": self.accumulate,
        }  # fmt: skip
        for name, value in positive.items():
            if not value > 0:
                raise RequestError(
                    f"{name} must be positive, got {value}", f"Give --{name.replace('_', '-')} > 0."
                )
        for name in (
            "overfit",
            "entailment",
            "weight_decay",
            "clip_norm",
            "min_radius",
            "scalar_lr",
        ):
            value = getattr(self, name)
            if not value >= 0:
                raise RequestError(
                    f"{name} must not be negative, got {value}",
                    f"Give --{name.replace('_', '-')} >= 0.",
                )
        for name, value in self.scalar_lrs.items():
            if not 0 <= value < float("inf"):
                raise RequestError(
                    f"scalar_lrs.{name} must be 0 or more, got {value}", "0 holds it as it begins."
                )
        for i, name in enumerate(self.trackers):
            if name not in TRACKERS or name in self.trackers[:i]:
                raise RequestError(
                    f'report_to "{self.report_to}": "{name}" is no tracker, or named twice',
                    f"Give {', '.join(TRACKERS)} or both with a comma between.",
                )
        self.pairs(1)
        if self.model.text.vocab_size < MIN_VOCAB_SIZE:
            raise RequestError(
                f"model.text.vocab_size is {self.model.text.vocab_size}; the byte-pair vocabulary "
                f"starts with {MIN_VOCAB_SIZE} entries (bytes, bytes at a word's end, two marks)",
                f"Give --model.text.vocab-size {MIN_VOCAB_SIZE} or more.",
            )
        if not 0 <= self.entailment_start <= self.entailment_full <= 1:
            raise RequestError(
                f"entailment_start {self.entailment_start} and entailment_full "
                f"{self.entailment_full} are shares of the run, the start first",
                "Give 0 <= entailment_start <= entailment_full <= 1.",
            )
        self.loss.check_geometry(
            self.geometry,
            cones=has_cones(self.geometry),
            sphere=family(self.geometry) in ("clip", "elliptic"),
        )
        self.loss.check_roles(self.roles)
        check_boxes(self.modalities, boxes=self.data.boxes)
        if self.entailment > 0 and not has_cones(self.geometry):
            raise RequestError(
                f"entailment {self.entailment}: {self.geometry} has no entailment cones",
                "Use --entailment 0, or a Euclidean or hyperbolic geometry.",
            )
        if self.entailment > 0 and not self.roles.links:
            raise RequestError(
                f"entailment {self.entailment}: no text is contrasted with a picture",
                "Say what entails what: --entails PARENT:CHILD.",
            )

    @property
    def reads_items(self) -> bool:
        """Whether a modality reads the number of an item."""
        return any(m.reads == "item" for m in self.modalities.values())

    @property
    def roles(self) -> Roles:
        """Which modalities meet in the losses. Raises RequestError as `Roles.of`."""
        if self.loss.contrastive == "hycoclip":
            return box_roles(self.modalities, self.contrast, self.entails)
        return Roles.of(self.modalities, self.contrast, self.entails)

    @property
    def trackers(self) -> tuple[str, ...]:
        """The names in `report_to`."""
        return tuple(self.report_to.split(",")) if self.report_to else ()

    def check_batch(self, processes: int) -> None:
        """Whether so many processes can train with this batch.

        Raises:
            RequestError: as `pairs`, or a batch of one pair, which has none to be contrasted with.
        """
        for name in ("overfit", "batch_size"):
            if getattr(self, name) == 1:
                raise RequestError(
                    f"{name} 1: a pair is contrasted with the others of its batch, and has none",
                    f"Give --{name.replace('_', '-')} 2 or more.",
                )
        self.pairs(processes)

    def pairs(self, processes: int) -> int:
        """Pairs that one of so many processes takes of a batch.

        Raises:
            RequestError: the batch can't be shared equally by processes and their parts.
        """
        shares = processes * self.accumulate
        if self.batch_size % shares:
            fit = max(1, self.batch_size // shares) * shares
            raise RequestError(
                f"batch_size {self.batch_size} does not divide into {processes} process"
                f"{'' if processes == 1 else 'es'} x {self.accumulate} accumulated parts",
                f"Give --batch-size {fit}, or another --accumulate.",
            )
        return self.batch_size // processes


def to_toml(config: TrainConfig) -> str:
    """The configuration as TOML; values that are None are left out (they mean the default)."""
    return tomli_w.dumps(prune(dataclasses.asdict(config)))


def from_toml(path: Path, base: TrainConfig | None = None) -> TrainConfig:
    """Read a TOML file, and the files that it names as its `base`, over `base`.

    Raises RequestError with file, key and the known keys.
    """
    config = base or TrainConfig()
    for file, values in read_layers(path).files:
        config = update(config, values, where=str(file))
    return config


def recipe(geometry: str, *, entailment: float = 0.0) -> TrainConfig:
    """The tuned configuration of a geometry on the embedded set (see `experiments/sweep`).

    A geometry without a file of its own takes the common settings. With entailment the settings of
    `<geometry>-entailment.toml` are laid over it.
    """
    name = canonical(geometry)
    folder = resources.files("geomclip.train") / "recipes"
    config = TrainConfig(geometry=geometry)
    files = ["common", name] + ([f"{name}-entailment"] if entailment > 0 else [])
    for stem in files:
        file = folder / f"{stem}.toml"
        if file.is_file():
            values = tomllib.loads(file.read_text(encoding="utf-8"))
            config = update(config, values, where=f"recipe {stem}")
    return dataclasses.replace(config, entailment=entailment)


__all__ = [
    "CANONICAL", "AugmentConfig", "CaptionConfig", "DataConfig", "ImageTowerConfig", "LossConfig",
    "ModalityConfig", "ModelConfig", "Roles", "TextTowerConfig", "TrainConfig", "from_toml",
    "recipe", "to_toml", "update",
]  # fmt: skip
