"""CLIP's vision transformer (Radford et al. 2021; Dosovitskiy et al. 2021), and what MERU's and
SigLIP's have instead of its parts.
"""

import itertools
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geomclip.towers.pooling import AttentionPool
from geomclip.towers.transformer import Activation, Transformer


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
        embed_dim: d; None leaves the pooled width as it is, without a projection (SigLIP).
        final_layernorm: False replaces `ln_post` by the identity
            (the no-final-LN towers of arXiv 2409.13079).
        pool: `cls` reads the class token, `mean` the mean over patch tokens, `attention` all patch
            tokens by a learned query (SigLIP).
        class_token: a learned token before the patches'.
        pre_norm: LayerNorm before the first block, `ln_pre`; MERU and SigLIP have none.
        patch_bias: bias of the patch projection; MERU and SigLIP have one.
        crop: leave out the pixels behind the last whole patch, as SigLIP does with 384 pixels and
            patches of 14, instead of refusing such a side.
        mlp_width: width between the MLPs' two layers; four times `width` when None.
        eps: of every LayerNorm.

    Raises:
        ValueError: image_size is no multiple of patch_size, width none of heads, or `cls` without
            a class token.
    """

    def __init__(
        self,
        *,
        image_size: int,
        patch_size: int,
        width: int,
        layers: int,
        heads: int,
        embed_dim: int | None,
        pool: Literal["cls", "mean", "attention"] = "cls",
        stem: Literal["patch", "conv"] = "patch",
        final_layernorm: bool = True,
        class_token: bool = True,
        pre_norm: bool = True,
        patch_bias: bool = False,
        crop: bool = False,
        mlp_width: int | None = None,
        activation: Activation = "gelu",
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        if image_size % patch_size and not crop:
            raise ValueError(
                f"VisionTransformer: image_size {image_size} is not a multiple of "
                f"patch_size {patch_size}"
            )
        if pool == "cls" and not class_token:
            raise ValueError("VisionTransformer: pool 'cls' reads the class token; there is none")
        self.image_size, self.patch_size = image_size, patch_size
        self.pool = pool
        tokens = (image_size // patch_size) ** 2 + class_token
        self.conv1 = (
            nn.Conv2d(3, width, patch_size, stride=patch_size, bias=patch_bias)
            if stem == "patch"
            else conv_stem(width, patch_size)
        )
        scale = width**-0.5
        self.class_embedding = nn.Parameter(scale * torch.randn(width)) if class_token else None
        self.positional_embedding = nn.Parameter(scale * torch.randn(tokens, width))
        self.ln_pre = nn.LayerNorm(width, eps) if pre_norm else nn.Identity()
        self.transformer = Transformer(
            width, layers, heads, mlp_width=mlp_width, activation=activation, eps=eps
        )
        self.ln_post = nn.LayerNorm(width, eps) if final_layernorm else nn.Identity()
        self.attn_pool = None
        if pool == "attention":
            self.attn_pool = AttentionPool(
                width, heads, mlp_width=mlp_width or 4 * width, activation=activation, eps=eps
            )
        self.proj = None
        if embed_dim is not None:
            self.proj = nn.Parameter(scale * torch.randn(width, embed_dim))

    def forward(self, pixels: Float[Tensor, "n 3 s s"]) -> Float[Tensor, "n d"]:
        if pixels.shape[-1] != self.image_size:
            raise ValueError(
                f"VisionTransformer: pictures are {pixels.shape[-1]} pixels wide, "
                f"the tower takes {self.image_size}"
            )
        x = self.conv1(pixels).flatten(2).transpose(1, 2)
        if self.class_embedding is not None:
            x = torch.cat([self.class_embedding.to(x.dtype).expand(len(x), 1, -1), x], dim=1)
        x = self.transformer(self.ln_pre(x + self.positional_embedding.to(x.dtype)))
        # open_clip normalises before it pools patch tokens, and after it picked the class token;
        # for one token the two are the same.
        if self.pool == "cls":
            x = self.ln_post(x[:, 0])
        else:
            x = self.ln_post(x if self.class_embedding is None else x[:, 1:])
            x = x.mean(1) if self.attn_pool is None else self.attn_pool(x)
        return x if self.proj is None else x @ self.proj
