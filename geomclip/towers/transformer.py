"""The pre-norm transformer that both of CLIP's towers are made of.

Module names are open_clip's (`resblocks.N.ln_1`, `attn.in_proj_weight`, `mlp.c_fc`, ...), so that a
published state dict fits name by name and shape by shape.
"""

from collections import OrderedDict

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geomclip.towers.statistics import recomputed


class QuickGELU(nn.Module):
    """x sigmoid(1.702 x), the activation of OpenAI's checkpoints."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class ResidualAttentionBlock(nn.Module):
    """x + attention(LayerNorm x), then x + MLP(LayerNorm x); the MLP is four times as wide."""

    def __init__(self, width: int, heads: int, *, quick_gelu: bool = False) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            OrderedDict(
                c_fc=nn.Linear(width, 4 * width),
                gelu=QuickGELU() if quick_gelu else nn.GELU(),
                c_proj=nn.Linear(4 * width, width),
            )
        )

    def forward(
        self, x: Float[Tensor, "n l w"], mask: Float[Tensor, "l l"] | None = None
    ) -> Float[Tensor, "n l w"]:
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, attn_mask=mask, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    """A stack of residual attention blocks, initialised as CLIP's (Radford et al. 2021).

    With `checkpointing` set, the backward pass computes each block anew from its input.
    """

    def __init__(self, width: int, layers: int, heads: int, *, quick_gelu: bool = False) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"Transformer: width {width} is not a multiple of heads {heads}")
        self.width = width
        self.checkpointing = False
        self.resblocks = nn.ModuleList(
            ResidualAttentionBlock(width, heads, quick_gelu=quick_gelu) for _ in range(layers)
        )
        residual_std = width**-0.5 * (2 * layers) ** -0.5
        for name, weight in self.named_parameters():
            if name.endswith("attn.in_proj_weight"):
                nn.init.normal_(weight, std=width**-0.5)
            elif name.endswith("mlp.c_fc.weight"):
                nn.init.normal_(weight, std=(2 * width) ** -0.5)
            elif name.endswith(("attn.out_proj.weight", "mlp.c_proj.weight")):
                nn.init.normal_(weight, std=residual_std)

    def forward(
        self, x: Float[Tensor, "n l w"], mask: Float[Tensor, "l l"] | None = None
    ) -> Float[Tensor, "n l w"]:
        for block in self.resblocks:
            x = recomputed(block, x, mask) if self.checkpointing else block(x, mask)
        return x
