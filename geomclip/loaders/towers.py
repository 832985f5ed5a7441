"""Towers from the tensors of a checkpoint: sizes and parts follow from names and shapes."""

from collections.abc import Mapping
from math import isqrt
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from geomclip.errors import RequestError
from geomclip.towers import TextTransformer, VisionTransformer
from geomclip.towers.transformer import Activation

Tower = TypeVar("Tower", bound=nn.Module)

# Heads of the published image towers (H, g, bigG, e) that are not 64 wide, by the tower's width.
WIDE_HEADS = {1280: 16, 1408: 16, 1664: 16, 1792: 16}


def vision_tower(
    state: Mapping[str, Tensor],
    where: str,
    *,
    heads: int | None = None,
    activation: Activation = "gelu",
    eps: float = 1e-5,
    mean_pool: bool = False,
    image_size: int | None = None,
) -> VisionTransformer:
    """The image tower whose tensors, under our names, are `state`.

    Args:
        where: the beginning of an error.
        heads: number of attention heads, which no shape shows; width / 64 when None, as in CLIP.
        mean_pool: read the mean of the patches in place of the class token.
        image_size: pixels; from the number of positions when None.

    Raises:
        RequestError: a tensor is missing, or their shapes do not fit together.
    """
    conv = _tensor(state, "conv1.weight", 4, where)
    positions = _tensor(state, "positional_embedding", 2, where)
    width, patch_size = conv.shape[0], conv.shape[-1]
    class_token = "class_embedding" in state
    side = isqrt(max(len(positions) - class_token, 0))
    if side * side != len(positions) - class_token or not side:
        raise RequestError(
            f"{where}: {len(positions)} positions of the image tower are no square of patches"
            f"{' and a class token' if class_token else ''}",
            "Only square pictures are read.",
        )
    size = image_size or side * patch_size
    if size // patch_size != side:
        raise RequestError(
            f"{where}: {side} x {side} patches of {patch_size} pixels do not make pictures of "
            f"{size}",
            "Keep the configuration that came with the weights.",
        )
    pool: Literal["cls", "mean", "attention"] = "mean" if mean_pool else "cls"
    if any(name.startswith("attn_pool.") for name in state):
        pool = "attention"
    elif not class_token:
        pool = "mean"
    return _fill(
        VisionTransformer,
        state,
        where,
        image_size=size,
        patch_size=patch_size,
        heads=heads or WIDE_HEADS.get(width) or default_heads(width, where),
        embed_dim=state["proj"].shape[-1] if "proj" in state else None,
        pool=pool,
        final_layernorm="ln_post.weight" in state,
        class_token=class_token,
        pre_norm="ln_pre.weight" in state,
        patch_bias="conv1.bias" in state,
        crop=True,
        **_common(state, width, activation, eps, where),
    )


def text_tower(
    state: Mapping[str, Tensor],
    where: str,
    *,
    heads: int | None = None,
    activation: Activation = "gelu",
    eps: float = 1e-5,
    eot: int | None = None,
    causal: bool = True,
) -> TextTransformer:
    """The text tower whose tensors, under our names, are `state`.

    Args:
        eot: id of the end-of-text token; the largest of a row when None.
        causal: False reads the last token, without a mask (SigLIP).
        (the others as in `vision_tower`)

    Raises:
        RequestError: a tensor is missing, or their shapes do not fit together.
    """
    tokens = _tensor(state, "token_embedding.weight", 2, where)
    positions = _tensor(state, "positional_embedding", 2, where)
    projection = _tensor(state, "text_projection", 2, where)
    width = tokens.shape[1]
    return _fill(
        TextTransformer,
        state,
        where,
        context_length=len(positions),
        vocab_size=len(tokens),
        heads=heads or default_heads(width, where),
        embed_dim=projection.shape[1],
        eot=eot,
        pool="eot" if causal else "last",
        causal=causal,
        final_layernorm="ln_final.weight" in state,
        projection_bias="projection_bias" in state,
        **_common(state, width, activation, eps, where),
    )


def default_heads(width: int, where: str) -> int:
    """Attention heads of a published tower of this width. Raises RequestError for an odd one."""
    if width % 64:
        raise RequestError(
            f"{where}: a tower of width {width} says nothing of its attention heads (CLIP's are "
            "64 wide)",
            "Put its open_clip_config.json beside the weights; it has heads or head_width.",
        )
    return width // 64


def _common(
    state: Mapping[str, Tensor], width: int, activation: Activation, eps: float, where: str
) -> dict[str, Any]:
    hidden = _tensor(state, "transformer.resblocks.0.mlp.c_fc.weight", 2, where)
    depth = 1 + max(int(n.split(".")[2]) for n in state if n.startswith("transformer.resblocks."))
    return {
        "width": width,
        "layers": depth,
        "mlp_width": len(hidden),
        "activation": activation,
        "eps": eps,
    }


def _tensor(state: Mapping[str, Tensor], name: str, ndim: int, where: str) -> Tensor:
    if name not in state or state[name].ndim != ndim:
        found = f"has shape {tuple(state[name].shape)}" if name in state else "is missing"
        raise RequestError(
            f"{where}: the tensor behind {name}, of {ndim} axes, {found}", "Copy the weights again."
        )
    return state[name]


class _Unfilled(TorchFunctionMode):
    """A block in which modules leave their random weights unset: they are replaced at once, and
    drawing 400 million numbers takes seconds. (The meta device would import torch.compile.)
    """

    _fills = frozenset(
        (
            torch.Tensor.normal_,
            torch.Tensor.uniform_,
            nn.init.normal_,
            nn.init.uniform_,
            nn.init.kaiming_uniform_,
            nn.init.xavier_uniform_,
        )
    )

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in self._fills:
            return args[0] if args else kwargs["tensor"]
        return torch.empty(*args, **kwargs) if func is torch.randn else func(*args, **kwargs)


def _fill(kind: type[Tower], state: Mapping[str, Tensor], where: str, **sizes: Any) -> Tower:
    """A tower that holds copies of the tensors, in float32."""
    try:
        with _Unfilled():
            tower = kind(**sizes)
    except ValueError as error:
        raise RequestError(
            f"{where}: {error}", "Keep the configuration that came with the weights."
        ) from None
    wanted = tower.state_dict()
    for name, like in wanted.items():
        if name not in state or state[name].shape != like.shape:
            found = f"has shape {tuple(state[name].shape)}" if name in state else "is missing"
            raise RequestError(
                f"{where}: the tensor behind {name}, of shape {tuple(like.shape)}, {found}",
                "Copy the weights again; if they are complete, this model has other parts.",
            )
    if unknown := sorted(set(state) - set(wanted)):
        raise RequestError(
            f"{where}: the tensor behind {unknown[0]} has no place beside the others",
            "Copy the weights again; if they are complete, this model has other parts.",
        )
    copies = {
        name: state[name].detach().to(torch.float32, copy=True).contiguous() for name in wanted
    }
    tower.load_state_dict(copies, assign=True)
    return tower
