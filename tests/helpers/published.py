"""State dicts with the names and shapes of published checkpoints, and what such a model computes.

The computation is torch's own TransformerEncoderLayer between the published embeddings and heads;
nothing of geomclip's towers is used.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

State = dict[str, Tensor]

WIDTH, TEXT_WIDTH, DIM, PATCH, SIDE, LENGTH, VOCAB = 128, 64, 24, 4, 3, 9, 40


def random(generator: torch.Generator, *shape: int) -> Tensor:
    """Weights of the size that a norm keeps, around 0."""
    return torch.randn(*shape, generator=generator) * (shape[-1] ** -0.5 if shape else 1.0)


def norm(state: State, name: str, width: int, g: torch.Generator) -> None:
    state[f"{name}.weight"] = 1 + 0.2 * torch.randn(width, generator=g)
    state[f"{name}.bias"] = 0.2 * torch.randn(width, generator=g)


def linear(state: State, name: str, out: int, width: int, g: torch.Generator) -> None:
    state[f"{name}.weight"] = random(g, out, width)
    state[f"{name}.bias"] = 0.2 * torch.randn(out, generator=g)


def open_clip_blocks(state: State, before: str, width: int, g: torch.Generator) -> None:
    for n in range(2):
        block = f"{before}resblocks.{n}."
        norm(state, f"{block}ln_1", width, g)
        state[f"{block}attn.in_proj_weight"] = random(g, 3 * width, width)
        state[f"{block}attn.in_proj_bias"] = 0.2 * torch.randn(3 * width, generator=g)
        linear(state, f"{block}attn.out_proj", width, width, g)
        norm(state, f"{block}ln_2", width, g)
        linear(state, f"{block}mlp.c_fc", 4 * width, width, g)
        linear(state, f"{block}mlp.c_proj", width, 4 * width, g)


def open_clip_state(vocab: int = VOCAB, seed: int = 0) -> State:
    """CLIP as open_clip and OpenAI name it; vision heads of 64, text heads of 64."""
    g = torch.Generator().manual_seed(seed)
    state: State = {
        "positional_embedding": random(g, LENGTH, TEXT_WIDTH),
        "text_projection": random(g, TEXT_WIDTH, DIM),
        "logit_scale": torch.tensor(2.5),
        "visual.class_embedding": random(g, WIDTH),
        "visual.positional_embedding": random(g, SIDE**2 + 1, WIDTH),
        "visual.proj": random(g, WIDTH, DIM),
        "visual.conv1.weight": random(g, WIDTH, 3, PATCH, PATCH),
        "token_embedding.weight": random(g, vocab, TEXT_WIDTH),
    }
    norm(state, "visual.ln_pre", WIDTH, g)
    norm(state, "visual.ln_post", WIDTH, g)
    norm(state, "ln_final", TEXT_WIDTH, g)
    open_clip_blocks(state, "visual.transformer.", WIDTH, g)
    open_clip_blocks(state, "transformer.", TEXT_WIDTH, g)
    return state


def meru_state(seed: int = 0) -> State:
    """MERU's names: timm's in the image tower, projections beside the towers, logarithms."""
    g = torch.Generator().manual_seed(seed)
    state: State = {
        "visual.cls_token": random(g, 1, 1, WIDTH),
        "visual.pos_embed": random(g, 1, SIDE**2 + 1, WIDTH),
        "visual.patch_embed.proj.weight": random(g, WIDTH, 3, PATCH, PATCH),
        "visual.patch_embed.proj.bias": 0.2 * torch.randn(WIDTH, generator=g),
        "textual.token_embed.weight": random(g, VOCAB, TEXT_WIDTH),
        "textual.posit_embed": random(g, LENGTH, TEXT_WIDTH),
        "textual.attn_mask": torch.ones(LENGTH, LENGTH).triu(1).bool(),
        "visual_proj.weight": random(g, DIM, WIDTH),
        "textual_proj.weight": random(g, DIM, TEXT_WIDTH),
        "logit_scale": torch.tensor(2.5),
        "pixel_mean": torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1),
        "pixel_std": torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1),
        "visual_alpha": torch.tensor(-1.2),
        "textual_alpha": torch.tensor(-0.7),
        "curv": torch.tensor(-0.4),
    }
    norm(state, "visual.norm", WIDTH, g)
    norm(state, "textual.ln_final", TEXT_WIDTH, g)
    for n in range(2):
        block = f"visual.blocks.{n}."
        norm(state, f"{block}norm1", WIDTH, g)
        linear(state, f"{block}attn.qkv", 3 * WIDTH, WIDTH, g)
        linear(state, f"{block}attn.proj", WIDTH, WIDTH, g)
        norm(state, f"{block}norm2", WIDTH, g)
        linear(state, f"{block}mlp.fc1", 4 * WIDTH, WIDTH, g)
        linear(state, f"{block}mlp.fc2", WIDTH, 4 * WIDTH, g)
    open_clip_blocks(state, "textual.", TEXT_WIDTH, g)
    return state


def encode(
    x: Tensor, state: State, blocks: str, names: dict[str, str], *, heads: int, causal: bool,
    quick: bool = False, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """`x` through torch's encoder layers that hold the weights named `blocks` + `names`."""
    width = x.shape[-1]
    activation = (lambda v: v * torch.sigmoid(1.702 * v)) if quick else F.gelu
    mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1]) if causal else None
    for n in range(2):
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, activation=activation, layer_norm_eps=eps,
            batch_first=True, norm_first=True,
        )  # fmt: skip
        layer.load_state_dict(
            {theirs: state[blocks.format(n) + name] for theirs, name in names.items()}
        )
        # In training mode: evaluation would take torch's fused path, whose GELU is its own.
        x = layer(x, src_mask=mask)
    return x


def names_of(
    norm1: str, qkv_weight: str, qkv_bias: str, out: str, norm2: str, fc1: str, fc2: str
) -> dict[str, str]:
    """torch's names of an encoder layer to a checkpoint's."""
    pairs = {"norm1": norm1, "self_attn.out_proj": out, "norm2": norm2, "linear1": fc1,
             "linear2": fc2}  # fmt: skip
    spread = {f"{t}.{k}": f"{n}.{k}" for t, n in pairs.items() for k in ("weight", "bias")}
    return spread | {
        "self_attn.in_proj_weight": qkv_weight, "self_attn.in_proj_bias": qkv_bias
    }  # fmt: skip


OPEN_CLIP = names_of(
    "ln_1", "attn.in_proj_weight", "attn.in_proj_bias", "attn.out_proj", "ln_2", "mlp.c_fc",
    "mlp.c_proj",
)  # fmt: skip
TIMM = names_of(
    "norm1", "attn.qkv.weight", "attn.qkv.bias", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"
)


def normed(x: Tensor, state: State, name: str, eps: float = 1e-5) -> Tensor:
    """LayerNorm, or `x` where the checkpoint has none of that name."""
    if f"{name}.weight" not in state:
        return x
    return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], eps)


@torch.no_grad()
def open_clip_features(
    state: State, pixels: Tensor, ids: Tensor, *, quick: bool = False, heads: int = WIDTH // 64,
    text_heads: int = TEXT_WIDTH // 64,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """(image, text) raw projected features of normalised pixels and ids, read at the largest id."""
    x = F.conv2d(pixels, state["visual.conv1.weight"], stride=PATCH).flatten(2).mT
    x = torch.cat([state["visual.class_embedding"].expand(len(x), 1, -1), x], 1)
    x = normed(x + state["visual.positional_embedding"], state, "visual.ln_pre")
    blocks = "visual.transformer.resblocks.{}."
    x = encode(x, state, blocks, OPEN_CLIP, heads=heads, causal=False, quick=quick)
    image = normed(x[:, 0], state, "visual.ln_post") @ state["visual.proj"]
    y = F.embedding(ids, state["token_embedding.weight"]) + state["positional_embedding"]
    blocks = "transformer.resblocks.{}."
    y = encode(y, state, blocks, OPEN_CLIP, heads=text_heads, causal=True, quick=quick)
    y = normed(y, state, "ln_final")[torch.arange(len(ids)), ids.argmax(-1)]
    return image, y @ state["text_projection"]


@torch.no_grad()
def meru_features(state: State, pixels: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    """(image, text) raw projected features of pixels in [0, 1] and ids, read at the largest id."""
    pixels = (pixels - state["pixel_mean"]) / state["pixel_std"]
    weight, bias = (state[f"visual.patch_embed.proj.{kind}"] for kind in ("weight", "bias"))
    x = F.conv2d(pixels, weight, bias, stride=PATCH).flatten(2).mT
    x = torch.cat([state["visual.cls_token"].expand(len(x), -1, -1), x], 1)
    x = x + state["visual.pos_embed"]
    x = encode(x, state, "visual.blocks.{}.", TIMM, heads=WIDTH // 64, causal=False)
    image = normed(x, state, "visual.norm")[:, 0] @ state["visual_proj.weight"].T
    y = F.embedding(ids, state["textual.token_embed.weight"]) + state["textual.posit_embed"]
    y = encode(y, state, "textual.resblocks.{}.", OPEN_CLIP, heads=TEXT_WIDTH // 64, causal=True)
    y = normed(y, state, "textual.ln_final")[torch.arange(len(ids)), ids.argmax(-1)]
    return image, y @ state["textual_proj.weight"].T
