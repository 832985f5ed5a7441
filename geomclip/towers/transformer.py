"""The pre-norm transformer that both of CLIP's towers are made of.

Module names are open_clip's (`resblocks.N.ln_1`, `attn.in_proj_weight`, `mlp.c_fc`, ...), so that a
published state dict fits name by name and shape by shape.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geomclip.towers.statistics import recomputed


class QuickGELU(nn.Module):
    """x sigmoid(1.702 x), the activation of OpenAI's checkpoints."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


Activation = Literal["gelu", "quick_gelu", "gelu_tanh"]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "gelu": nn.GELU,
    "quick_gelu": QuickGELU,
    "gelu_tanh": lambda: nn.GELU(approximate="tanh"),
}


def mlp(width: int, hidden: int, activation: Activation) -> nn.Sequential:
    """Two linear layers around an activation, from width to width."""
    return nn.Sequential(
        OrderedDict(
            c_fc=nn.Linear(width, hidden),
            gelu=ACTIVATIONS[activation](),
            c_proj=nn.Linear(hidden, width),
        )
    )


class ResidualAttentionBlock(nn.Module):
    """x + attention(LayerNorm x), then x + MLP(LayerNorm x)."""

    def __init__(
        self, width: int, heads: int, *, mlp_width: int, activation: Activation, eps: float
    ) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, eps)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_2 = nn.LayerNorm(width, eps)
        self.mlp = mlp(width, mlp_width, activation)

    def forward(
        self, x: Float[Tensor, "n l w"], mask: Float[Tensor, "l l"] | None = None
    ) -> Float[Tensor, "n l w"]:
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, attn_mask=mask, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    """A stack of residual attention blocks, initialised as CLIP's (Radford et al. 2021).

    Args:
        mlp_width: width between the MLP's two layers; four times `width` when None.
        eps: of the LayerNorms.

    With `checkpointing` set, the backward pass computes each block anew from its input.
    """

    def __init__(
        self,
        width: int,
        layers: int,
        heads: int,
        *,
        mlp_width: int | None = None,
        activation: Activation = "gelu",
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"Transformer: width {width} is not a multiple of heads {heads}")
        self.width, self.heads = width, heads
        self.mlp_width = mlp_width or 4 * width
        self.activation, self.eps = activation, eps
        self.checkpointing = False
        self.resblocks = nn.ModuleList(
            ResidualAttentionBlock(
                width, heads, mlp_width=self.mlp_width, activation=activation, eps=eps
            )
            for _ in range(layers)
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
