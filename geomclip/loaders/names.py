"""What the tensors of a tower are called elsewhere, in one table that is read in both directions.

An entry says how our tensor is called and stored there:

    "ln_pre.*": "vision_model.pre_layrnorm.*"     * is weight and bias
    "proj": "visual_projection.weight|T"          stored transposed
    "positional_embedding": "pos_embed|1"         stored with a leading axis of length 1
    "attn.in_proj_weight": ("q.weight", "k.weight", "v.weight")     stored in three parts
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

# Form: (theirs to ours, ours to theirs).
_FORMS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "": (lambda t: t, lambda t: t),
    "T": (lambda t: t.T, lambda t: t.T),
    "1": (lambda t: t.squeeze(0), lambda t: t.unsqueeze(0)),
    "11": (lambda t: t.squeeze(0).squeeze(0), lambda t: t[None, None]),
}

_BLOCK = "transformer.resblocks.{}."

Entry = str | tuple[str, ...]


@dataclass(frozen=True)
class Names:
    """The names of one tower's tensors in one layout.

    Args:
        whole: our name to theirs, of what is there once.
        blocks: what stands before the names of block {}.
        block: our name to theirs inside a block.
    """

    whole: Mapping[str, Entry]
    blocks: str
    block: Mapping[str, Entry]

    def take(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Move the tensors that this table knows out of `tensors`; returns them under our names."""
        found: dict[str, Tensor] = {}
        depth = 0
        while any(name.startswith(self.blocks.format(depth)) for name in tensors):
            depth += 1
        for ours, theirs in self._rows(depth):
            parts = [part.partition("|") for part in theirs]
            if all(name in tensors for name, _, _ in parts):
                read = [_FORMS[form][0](tensors.pop(name)) for name, _, form in parts]
                found[ours] = torch.cat(read) if len(read) > 1 else read[0]
        return found

    def give(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Our tensors under their names. KeyError for one that has none there."""
        depth = 0
        while any(name.startswith(_BLOCK.format(depth)) for name in state):
            depth += 1
        table = dict(self._rows(depth))
        found: dict[str, Tensor] = {}
        for ours, tensor in state.items():
            parts = [part.partition("|") for part in table[ours]]
            for (name, _, form), piece in zip(parts, tensor.chunk(len(parts)), strict=True):
                found[name] = _FORMS[form][1](piece).contiguous()
        return found

    def _rows(self, depth: int) -> Iterator[tuple[str, tuple[str, ...]]]:
        for row in self.whole.items():
            yield from _spread(*row)
        for n in range(depth):
            theirs = self.blocks.format(n)
            for name, entry in self.block.items():
                parts = (entry,) if isinstance(entry, str) else entry
                yield from _spread(_BLOCK.format(n) + name, tuple(theirs + p for p in parts))


def _spread(ours: str, entry: Entry) -> Iterator[tuple[str, tuple[str, ...]]]:
    theirs = (entry,) if isinstance(entry, str) else entry
    for kind in ("weight", "bias") if "*" in ours else ("",):
        yield ours.replace("*", kind), tuple(part.replace("*", kind) for part in theirs)


def separate(before: str) -> dict[str, Entry]:
    """Entries of an attention whose queries, keys and values are stored apart, as in HF."""
    return {
        f"attn.in_proj_{kind}": tuple(f"{before}{part}_proj.{kind}" for part in "qkv")
        for kind in ("weight", "bias")
    }


OPEN_CLIP_BLOCK: dict[str, Entry] = {
    "ln_1.*": "ln_1.*",
    "attn.in_proj_weight": "attn.in_proj_weight",
    "attn.in_proj_bias": "attn.in_proj_bias",
    "attn.out_proj.*": "attn.out_proj.*",
    "ln_2.*": "ln_2.*",
    "mlp.c_fc.*": "mlp.c_fc.*",
    "mlp.c_proj.*": "mlp.c_proj.*",
}
"""OpenAI's and open_clip's names, which are ours; MERU's text tower has them too."""

HF_BLOCK: dict[str, Entry] = {
    "ln_1.*": "layer_norm1.*",
    **separate("self_attn."),
    "attn.out_proj.*": "self_attn.out_proj.*",
    "ln_2.*": "layer_norm2.*",
    "mlp.c_fc.*": "mlp.fc1.*",
    "mlp.c_proj.*": "mlp.fc2.*",
}
"""Hugging Face's names, of CLIP and SigLIP alike."""
