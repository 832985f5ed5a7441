"""Pictures to pixels: compositing, and random augmentation of a whole batch at once.

Every random number comes from the generator that is passed in, so that a batch is a function of its
seed alone.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from geomclip.train.config import AugmentConfig

# Rec. 601 luma, what Pillow's "L" conversion uses too.
LUMA = (0.299, 0.587, 0.114)

# Pixels that are worked on at once: what is made of them stays in a core's cache, so that twenty
# passes over them cost less than over a whole batch.
AT_ONCE = 1 << 16


def on_white(images: UInt8[Tensor, "n 4 h w"]) -> Float[Tensor, "n 3 h w"]:
    """RGBA bytes composited on white, in [0, 1]."""
    rgba = images.float() / 255
    alpha = rgba[:, 3:]
    return rgba[:, :3] * alpha + (1 - alpha)


@dataclass(frozen=True)
class Draws:
    """The random numbers of an augmentation, a row a picture.

    Drawn for a whole batch and applied to any of its rows, so that what happens to a picture does
    not depend on how many processes share the batch.
    """

    angle: Float[Tensor, "n"]
    scale: Float[Tensor, "n"]
    mirror: Bool[Tensor, "n"]
    shift: Float[Tensor, "n 2"]
    colour: Float[Tensor, "n 3"]
    white: Bool[Tensor, "n 1"]
    saturation: Float[Tensor, "n 1 1 1"]
    contrast: Float[Tensor, "n 1 1 1"]
    brightness: Float[Tensor, "n 1 1 1"]
    channels: Float[Tensor, "n 3 1 1"]
    window: Float[Tensor, "n 2 2"]

    def __getitem__(self, rows: slice) -> "Draws":
        return Draws(**{f.name: getattr(self, f.name)[rows] for f in dataclasses.fields(self)})

    @staticmethod
    def cat(parts: "Sequence[Draws]") -> "Draws":
        """The rows of all parts, in order."""
        names = [f.name for f in dataclasses.fields(Draws)]
        return Draws(**{name: torch.cat([getattr(p, name) for p in parts]) for name in names})


def draw(n: int, config: AugmentConfig, generator: torch.Generator) -> Draws:
    """Random rotation, scale, shift, mirror, background, colour and crop for `n` pictures."""

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(n, *shape, generator=generator)

    # In the order of the fields: a keyword call evaluates its arguments from left to right.
    return Draws(
        angle=uniform(-config.rotate, config.rotate),
        scale=uniform(*config.scale),
        mirror=uniform(0.0, 1.0) < config.flip,
        shift=uniform(-2 * config.shift, 2 * config.shift, 2),
        colour=uniform(0.0, 1.0, 3),
        white=uniform(0.0, 1.0, 1) >= config.background,
        saturation=uniform(1.0 - config.saturation, 1 + config.saturation, 1, 1, 1),
        contrast=uniform(1.0 - config.brightness, 1 + config.brightness, 1, 1, 1),
        brightness=uniform(1.0 - config.brightness, 1 + config.brightness, 1, 1, 1),
        channels=uniform(-config.channel_shift, config.channel_shift, 3, 1, 1),
        window=draw_windows(n, config.crop, generator),
    )


def draw_windows(
    n: int, area: tuple[float, float], generator: torch.Generator
) -> Float[Tensor, "n 2 2"]:
    """Random crops of a square, as torchvision's RandomResizedCrop: centres (x, y) and half sides
    (w, h), with the square being [-1, 1] both ways.

    Area, as a share of the square, is uniform over `area`, the log of the aspect over that of 3/4
    to 4/3; of ten draws the first that fits is taken, the whole square where none does.
    """
    windows = torch.tensor([[0.0, 0.0], [1.0, 1.0]]).repeat(n, 1, 1)
    if area == (1.0, 1.0):
        return windows
    share, aspect, *place = torch.rand(4, n, 10, generator=generator)
    share = area[0] + (area[1] - area[0]) * share
    aspect = torch.exp((2 * aspect - 1) * math.log(4 / 3))
    sides = torch.stack([(share * aspect).sqrt(), (share / aspect).sqrt()], dim=-1)
    centres = (1 - sides) * (2 * torch.stack(place, dim=-1) - 1)
    fits = (sides <= 1).all(-1)
    first, rows = fits.int().argmax(1), torch.arange(n)
    drawn = torch.stack([centres[rows, first], sides[rows, first]], dim=1)
    return torch.where(fits.any(1)[:, None, None], drawn, windows)


def augment(
    images: UInt8[Tensor, "n 4 h w"], draws: Draws, *, flippable: Tensor | None = None
) -> Float[Tensor, "n 3 h w"]:
    """Pictures changed as `draws` says; pixels in [0, 1].

    Args:
        flippable: (n,) bool, pictures that keep their meaning when mirrored; all when None.
    """
    n, _, height, width = images.shape
    out = torch.empty(n, 3, height, width, device=images.device)
    each = max(1, AT_ONCE // (height * width))
    for start in range(0, n, each):
        rows = slice(start, start + each)
        some = None if flippable is None else flippable[rows]
        _augment(images[rows], draws[rows], some, out[rows])
    return out


def _augment(
    images: UInt8[Tensor, "n 4 h w"],
    draws: Draws,
    flippable: Tensor | None,
    out: Float[Tensor, "n 3 h w"],
) -> None:
    # In place where it can be: memory for a batch is new pages at every step.
    rgba = images.float().div_(255)
    # Premultiplied colour, so that interpolation doesn't bleed the colour of transparent pixels in.
    rgba[:, :3].mul_(rgba[:, 3:])

    mirror = torch.where(draws.mirror, -1.0, 1.0)
    if flippable is not None:
        mirror = torch.where(flippable, mirror, 1.0)
    # The inverse map from output to input coordinates, both in [-1, 1].
    cos, sin = torch.cos(draws.angle) / draws.scale, torch.sin(draws.angle) / draws.scale
    theta = torch.stack(
        [
            torch.stack([cos * mirror, -sin, draws.shift[:, 0]], dim=1),
            torch.stack([sin * mirror, cos, draws.shift[:, 1]], dim=1),
        ],
        dim=1,
    )
    # What is cropped is then turned, scaled and shifted.
    theta = theta * draws.window[:, 1, :, None]
    theta[:, :, 2] += draws.window[:, 0]
    n, _, height, width = rgba.shape
    grid = centres(height, width).expand(n, -1, -1).bmm(theta.mT).view(n, height, width, 2)
    rgba = F.grid_sample(rgba, grid, mode="bilinear", padding_mode="zeros", align_corners=False)

    # Opaque photographs would show the background only as borders: they get it all the same,
    # as letterboxed pictures do.
    clear = 1 - rgba[:, 3:]
    if draws.white.all():
        rgb = clear + rgba[:, :3]
    else:
        background = torch.where(draws.white, torch.ones_like(draws.colour), draws.colour)
        rgb = (clear * background[:, :, None, None]).add_(rgba[:, :3])

    gray = rgb[:, :1] * LUMA[0]
    gray.add_(rgb[:, 1:2] * LUMA[1]).add_(rgb[:, 2:] * LUMA[2])
    rgb.sub_(gray).mul_(draws.saturation).add_(gray)
    mean = gray.mean((2, 3), keepdim=True)
    rgb.sub_(mean).mul_(draws.contrast).add_(mean)
    torch.clamp(rgb.mul_(draws.brightness).add_(draws.channels), 0, 1, out=out)


@functools.lru_cache(maxsize=8)
def centres(height: int, width: int) -> Float[Tensor, "1 hw 3"]:
    """(x, y, 1) of the pixels' centres, the picture being [-1, 1] x [-1, 1].

    What F.affine_grid builds anew for every picture of a batch.
    """
    y = torch.linspace(-1, 1, height) * ((height - 1) / height)
    x = torch.linspace(-1, 1, width) * ((width - 1) / width)
    y, x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([x, y, torch.ones_like(x)], dim=-1).view(1, -1, 3)


def mirror_safe(texts: list[tuple[str, ...]], paths: list[tuple[str, ...]]) -> Tensor:
    """(n,) bool: which pictures may be mirrored; not symbols, nor what is named by a direction."""
    words = {"left", "right", "arrow", "letter", "sign", "button", "clockwise", "o’clock"}

    def safe(text: tuple[str, ...], path: tuple[str, ...]) -> bool:
        if path and path[0] in ("symbols", "flags"):
            return False
        name = text[0] if text else ""
        return not words & set(name.replace("-", " ").replace(":", " ").split())

    return torch.tensor([safe(t, p) for t, p in zip(texts, paths, strict=True)], dtype=torch.bool)
