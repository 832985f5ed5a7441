"""Attention pooling: one learned query reads all tokens (SigLIP's head, Zhai et al. 2023)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geomclip.towers.transformer import Activation, mlp


class AttentionPool(nn.Module):
    """Tokens (n, L, w) to one vector (n, w): y = attention(probe, x, x), then y + MLP(LayerNorm y).

    Args:
        mlp_width: width between the MLP's two layers.
        eps: of the LayerNorm.
    """

    def __init__(
        self, width: int, heads: int, *, mlp_width: int, activation: Activation, eps: float
    ) -> None:
        super().__init__()
        self.probe = nn.Parameter(width**-0.5 * torch.randn(width))
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln = nn.LayerNorm(width, eps)
        self.mlp = mlp(width, mlp_width, activation)

    def forward(self, x: Float[Tensor, "n l w"]) -> Float[Tensor, "n w"]:
        probe = self.probe.to(x.dtype).expand(len(x), 1, -1)
        y = self.attn(probe, x, x, need_weights=False)[0][:, 0]
        return y + self.mlp(self.ln(y))
