"""CLIP's text transformer (Radford et al. 2021): causal, read at the end-of-text token."""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from geomclip.towers.transformer import Transformer


class TextTransformer(nn.Module):
    """Token ids (n, L) to raw projected features (n, d).

    Args:
        eot: id of the end-of-text token; each row holds one.
        final_layernorm: False replaces `ln_final` by the identity
            (the no-final-LN towers of arXiv 2409.13079).
        pool: `eot` reads the end-of-text token, `mean` the mean over the tokens up to it.
    """

    mask: Tensor

    def __init__(
        self,
        *,
        context_length: int,
        vocab_size: int,
        width: int,
        layers: int,
        heads: int,
        embed_dim: int,
        eot: int,
        pool: Literal["eot", "mean"] = "eot",
        final_layernorm: bool = True,
        quick_gelu: bool = False,
    ) -> None:
        super().__init__()
        self.context_length = context_length
        self.pool = pool
        self.eot = eot
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.positional_embedding = nn.Parameter(torch.empty(context_length, width))
        self.transformer = Transformer(width, layers, heads, quick_gelu=quick_gelu)
        self.ln_final = nn.LayerNorm(width) if final_layernorm else nn.Identity()
        self.text_projection = nn.Parameter(torch.empty(width, embed_dim))
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.positional_embedding, std=0.01)
        nn.init.normal_(self.text_projection, std=width**-0.5)
        causal = torch.full((context_length, context_length), float("-inf")).triu(1)
        self.register_buffer("mask", causal, persistent=False)

    def forward(self, ids: Int[Tensor, "n l"]) -> Float[Tensor, "n d"]:
        is_end = ids == self.eot
        if not bool(is_end.any(-1).all()):
            raise ValueError(
                f"TextTransformer: a row of ids has no end-of-text token ({self.eot}); "
                "make ids with the model's own tokenizer"
            )
        end = is_end.int().argmax(-1)
        # Nothing behind the last end-of-text token is read, and the mask is causal: cutting the
        # padding off changes no number and saves half the work on short captions.
        length = int(end.max()) + 1
        ids = ids[:, :length]
        x = self.token_embedding(ids)
        x = x + self.positional_embedding[:length].to(x.dtype)
        x = self.ln_final(self.transformer(x, self.mask[:length, :length].to(x.dtype)))
        if self.pool == "eot":
            x = x[torch.arange(len(x), device=x.device), end]
        else:
            real = (torch.arange(length, device=x.device) <= end[:, None]).to(x.dtype)
            x = (x * real[..., None]).sum(1) / real.sum(1, keepdim=True)
        return x @ self.text_projection
