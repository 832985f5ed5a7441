"""CLIP's vision transformer (Radford et al. 2021; Dosovitskiy et al. 2021)."""

import itertools
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geomclip.towers.transformer import Transformer


def conv_stem(width: int, patch_size: int) -> nn.Sequential:
    """Stride-2 convolutions with BatchNorm down to one token a patch (Xiao et al. 2021).

    Learns more per step than one large-stride patch projection when steps are few.
    """
    stages = patch_size.bit_length() - 1
    if 2**stages != patch_size or stages < 1:
        raise ValueError(f"a conv stem needs a patch_size that is a power of 2, got {patch_size}")
    channels = [3] + [max(width >> (stages - 1 - i), 16) for i in range(stages)]
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(channels):
        layers += [
            nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.Conv2d(channels[-1], width, 1))


class VisionTransformer(nn.Module):
    """Pixels (n, 3, s, s) to raw projected features (n, d).

    Args:
        image_size: side s of the input, pixels; a multiple of patch_size.
        final_layernorm: False replaces `ln_post` by the identity
            (the no-final-LN towers of arXiv 2409.13079).
        pool: `cls` reads the class token, `mean` the mean over patch tokens.

    Raises:
        ValueError: image_size is no multiple of patch_size, or width none of heads.
    """

    def __init__(
        self,
        *,
        image_size: int,
        patch_size: int,
        width: int,
        layers: int,
        heads: int,
        embed_dim: int,
        pool: Literal["cls", "mean"] = "cls",
        stem: Literal["patch", "conv"] = "patch",
        final_layernorm: bool = True,
        quick_gelu: bool = False,
    ) -> None:
        super().__init__()
        if image_size % patch_size:
            raise ValueError(
                f"VisionTransformer: image_size {image_size} is not a multiple of "
                f"patch_size {patch_size}"
            )
        self.image_size = image_size
        self.pool = pool
        tokens = (image_size // patch_size) ** 2 + 1
        self.conv1 = (
            nn.Conv2d(3, width, patch_size, stride=patch_size, bias=False)
            if stem == "patch"
            else conv_stem(width, patch_size)
        )
        scale = width**-0.5
        self.class_embedding = nn.Parameter(scale * torch.randn(width))
        self.positional_embedding = nn.Parameter(scale * torch.randn(tokens, width))
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = Transformer(width, layers, heads, quick_gelu=quick_gelu)
        self.ln_post = nn.LayerNorm(width) if final_layernorm else nn.Identity()
        self.proj = nn.Parameter(scale * torch.randn(width, embed_dim))

    def forward(self, pixels: Float[Tensor, "n 3 s s"]) -> Float[Tensor, "n d"]:
        if pixels.shape[-1] != self.image_size:
            raise ValueError(
                f"VisionTransformer: pictures are {pixels.shape[-1]} pixels wide, "
                f"the tower takes {self.image_size}"
            )
        x = self.conv1(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.to(x.dtype).expand(len(x), 1, -1), x], dim=1)
        x = self.transformer(self.ln_pre(x + self.positional_embedding.to(x.dtype)))
        # open_clip normalises before it pools patch tokens, and after it picked the class token;
        # for one token the two are the same.
        x = self.ln_post(x[:, 0]) if self.pool == "cls" else self.ln_post(x[:, 1:]).mean(1)
        return x @ self.proj
