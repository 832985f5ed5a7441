"""CLIP's text transformer (Radford et al. 2021): causal, read at the end-of-text token; and
SigLIP's: not causal, read at the last one.
"""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from geomclip.towers.transformer import Activation, Transformer


class TextTransformer(nn.Module):
    """Token ids (n, L) to raw projected features (n, d).

    Args:
        eot: id of the end-of-text token; each row holds one, the first counts. None takes the
            largest id of a row, the published code's rule, which is the same with CLIP's
            vocabulary.
        final_layernorm: False replaces `ln_final` by the identity
            (the no-final-LN towers of arXiv 2409.13079).
        pool: `eot` reads the end-of-text token, `mean` the mean over the tokens up to it, `last`
            the last token, be it padding (SigLIP).
        causal: False lets every token, padding too, see every other; rows are then always
            `context_length` long.
        projection_bias: bias of the projection (SigLIP).
        mlp_width: width between the MLPs' two layers; four times `width` when None.
        eps: of every LayerNorm.

    Raises:
        ValueError: width is no multiple of heads, or pool is not `last` without the causal mask.
    """

    mask: Tensor | None

    def __init__(
        self,
        *,
        context_length: int,
        vocab_size: int,
        width: int,
        layers: int,
        heads: int,
        embed_dim: int,
        eot: int | None,
        pool: Literal["eot", "mean", "last"] = "eot",
        final_layernorm: bool = True,
        causal: bool = True,
        projection_bias: bool = False,
        mlp_width: int | None = None,
        activation: Activation = "gelu",
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        if causal == (pool == "last"):
            raise ValueError(
                f"TextTransformer: pool {pool!r} {'with' if causal else 'without'} a causal mask; "
                "'eot' and 'mean' go with one, 'last' without"
            )
        self.context_length = context_length
        self.pool = pool
        self.eot = eot
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.positional_embedding = nn.Parameter(torch.empty(context_length, width))
        self.transformer = Transformer(
            width, layers, heads, mlp_width=mlp_width, activation=activation, eps=eps
        )
        self.ln_final = nn.LayerNorm(width, eps) if final_layernorm else nn.Identity()
        self.text_projection = nn.Parameter(torch.empty(width, embed_dim))
        self.projection_bias = nn.Parameter(torch.zeros(embed_dim)) if projection_bias else None
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.positional_embedding, std=0.01)
        nn.init.normal_(self.text_projection, std=width**-0.5)
        mask = torch.full((context_length, context_length), float("-inf")).triu(1)
        self.register_buffer("mask", mask if causal else None, persistent=False)

    def forward(self, ids: Int[Tensor, "n l"]) -> Float[Tensor, "n d"]:
        if self.mask is None:
            x = self._last(ids)
        else:
            x = self._end(ids, self.mask)
        x = x @ self.text_projection
        return x if self.projection_bias is None else x + self.projection_bias

    def _embed(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        x = self.token_embedding(ids)
        x = x + self.positional_embedding[: ids.shape[1]].to(x.dtype)
        return self.ln_final(self.transformer(x, None if mask is None else mask.to(x.dtype)))

    def _last(self, ids: Tensor) -> Tensor:
        if ids.shape[1] != self.context_length:
            raise ValueError(
                f"TextTransformer: rows of {ids.shape[1]} ids; without a causal mask padding "
                f"counts, and the tower takes {self.context_length}"
            )
        return self._embed(ids, None)[:, -1]

    def _end(self, ids: Tensor, mask: Tensor) -> Tensor:
        is_end = ids == (ids.amax(-1, keepdim=True) if self.eot is None else self.eot)
        if not bool(is_end.any(-1).all()):
            raise ValueError(
                f"TextTransformer: a row of ids has no end-of-text token ({self.eot}); "
                "make ids with the model's own tokenizer"
            )
        end = is_end.int().argmax(-1)
        # Nothing behind the last end-of-text token is read, and the mask is causal: cutting the
        # padding off changes no number and saves half the work on short captions.
        length = int(end.max()) + 1
        x = self._embed(ids[:, :length], mask[:length, :length])
        if self.pool == "eot":
            return x[torch.arange(len(x), device=x.device), end]
        real = (torch.arange(length, device=x.device) <= end[:, None]).to(x.dtype)
        return (x * real[..., None]).sum(1) / real.sum(1, keepdim=True)
