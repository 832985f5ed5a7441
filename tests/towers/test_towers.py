"""CLIP's towers: names and shapes of the published checkpoints, and the arithmetic behind them."""

import math

import pytest
import torch
import torch.nn.functional as F

from geomclip.towers import ConvNet, TextTransformer, VisionTransformer


def block_names(prefix: str, width: int) -> dict[str, tuple[int, ...]]:
    return {
        f"{prefix}.ln_1.weight": (width,),
        f"{prefix}.ln_1.bias": (width,),
        f"{prefix}.attn.in_proj_weight": (3 * width, width),
        f"{prefix}.attn.in_proj_bias": (3 * width,),
        f"{prefix}.attn.out_proj.weight": (width, width),
        f"{prefix}.attn.out_proj.bias": (width,),
        f"{prefix}.ln_2.weight": (width,),
        f"{prefix}.ln_2.bias": (width,),
        f"{prefix}.mlp.c_fc.weight": (4 * width, width),
        f"{prefix}.mlp.c_fc.bias": (4 * width,),
        f"{prefix}.mlp.c_proj.weight": (width, 4 * width),
        f"{prefix}.mlp.c_proj.bias": (width,),
    }


def shapes(module: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


def test_vit_b_32_has_the_names_and_shapes_of_the_published_checkpoint():
    with torch.device("meta"):
        tower = VisionTransformer(
            image_size=224, patch_size=32, width=768, layers=12, heads=12, embed_dim=512
        )
    expected = {
        "class_embedding": (768,),
        "positional_embedding": (50, 768),
        "conv1.weight": (768, 3, 32, 32),
        "ln_pre.weight": (768,),
        "ln_pre.bias": (768,),
        "ln_post.weight": (768,),
        "ln_post.bias": (768,),
        "proj": (768, 512),
    }
    for layer in range(12):
        expected |= block_names(f"transformer.resblocks.{layer}", 768)
    assert shapes(tower) == expected


def test_text_tower_has_the_names_and_shapes_of_the_published_checkpoint():
    with torch.device("meta"):
        tower = TextTransformer(
            context_length=77, vocab_size=49408, width=512, layers=12, heads=8, embed_dim=512,
            eot=49407,
        )  # fmt: skip
    expected = {
        "token_embedding.weight": (49408, 512),
        "positional_embedding": (77, 512),
        "ln_final.weight": (512,),
        "ln_final.bias": (512,),
        "text_projection": (512, 512),
    }
    for layer in range(12):
        expected |= block_names(f"transformer.resblocks.{layer}", 512)
    assert shapes(tower) == expected


def reference_block(x, state, prefix, heads, *, causal, quick_gelu):
    """One pre-norm block written out: softmax(q k^T / sqrt(w / h)) v, then the MLP."""

    def norm(v, name):
        mean, var = v.mean(-1, keepdim=True), v.var(-1, unbiased=False, keepdim=True)
        return (v - mean) / (var + 1e-5).sqrt() * state[f"{name}.weight"] + state[f"{name}.bias"]

    n, length, width = x.shape
    y = norm(x, f"{prefix}.ln_1")
    qkv = y @ state[f"{prefix}.attn.in_proj_weight"].T + state[f"{prefix}.attn.in_proj_bias"]
    q, k, v = (p.view(n, length, heads, -1).transpose(1, 2) for p in qkv.chunk(3, dim=-1))
    scores = q @ k.transpose(-1, -2) / math.sqrt(width / heads)
    if causal:
        scores = scores.masked_fill(torch.ones(length, length).triu(1).bool(), -math.inf)
    y = (scores.softmax(-1) @ v).transpose(1, 2).reshape(n, length, width)
    x = x + y @ state[f"{prefix}.attn.out_proj.weight"].T + state[f"{prefix}.attn.out_proj.bias"]
    y = norm(x, f"{prefix}.ln_2")
    y = y @ state[f"{prefix}.mlp.c_fc.weight"].T + state[f"{prefix}.mlp.c_fc.bias"]
    y = y / (1 + torch.exp(-1.702 * y)) if quick_gelu else y * (1 + torch.erf(y / 2**0.5)) / 2
    return x + y @ state[f"{prefix}.mlp.c_proj.weight"].T + state[f"{prefix}.mlp.c_proj.bias"]


@pytest.mark.parametrize("quick_gelu", [False, True])
@pytest.mark.parametrize("final_layernorm", [False, True])
def test_text_tower_is_clips_transformer(quick_gelu, final_layernorm):
    torch.manual_seed(0)
    tower = TextTransformer(
        context_length=8, vocab_size=11, width=12, layers=2, heads=3, embed_dim=5, eot=10,
        final_layernorm=final_layernorm, activation="quick_gelu" if quick_gelu else "gelu",
    ).double()  # fmt: skip
    for p in tower.parameters():
        torch.nn.init.normal_(p, std=0.3)
    ids = torch.tensor([[9, 3, 4, 10, 0, 0, 0, 0], [9, 1, 2, 3, 4, 5, 6, 10]])
    state = tower.state_dict()
    x = state["token_embedding.weight"][ids] + state["positional_embedding"]
    for layer in range(2):
        x = reference_block(
            x, state, f"transformer.resblocks.{layer}", 3, causal=True, quick_gelu=quick_gelu
        )
    if final_layernorm:
        x = F.layer_norm(x, (12,), state["ln_final.weight"], state["ln_final.bias"])
    expected = x[torch.arange(2), torch.tensor([3, 7])] @ state["text_projection"]
    torch.testing.assert_close(tower(ids), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_vision_tower_is_clips_transformer(pool):
    torch.manual_seed(0)
    tower = VisionTransformer(
        image_size=8, patch_size=4, width=12, layers=1, heads=2, embed_dim=5, pool=pool
    ).double()
    pixels = torch.rand(3, 3, 8, 8, dtype=torch.float64)
    state = tower.state_dict()
    patches = pixels.unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 1, 4, 5).reshape(3, 4, -1)
    x = patches @ state["conv1.weight"].reshape(12, -1).T
    x = torch.cat([state["class_embedding"].expand(3, 1, -1), x], 1)
    x = x + state["positional_embedding"]
    x = F.layer_norm(x, (12,), state["ln_pre.weight"], state["ln_pre.bias"])
    x = reference_block(x, state, "transformer.resblocks.0", 2, causal=False, quick_gelu=False)
    x = F.layer_norm(x, (12,), state["ln_post.weight"], state["ln_post.bias"])
    x = x[:, 0] if pool == "cls" else x[:, 1:].mean(1)
    torch.testing.assert_close(tower(pixels), x @ state["proj"], rtol=1e-10, atol=1e-12)


def test_padding_changes_no_text_feature():
    torch.manual_seed(0)
    tower = TextTransformer(
        context_length=8, vocab_size=11, width=8, layers=2, heads=2, embed_dim=4, eot=10,
        pool="mean",
    )  # fmt: skip
    short = torch.tensor([[9, 3, 10, 0, 0, 0, 0, 0]])
    long = torch.tensor([[9, 3, 4, 5, 6, 7, 8, 10]])
    torch.testing.assert_close(tower(torch.cat([short, long]))[:1], tower(short))


def test_ids_without_an_end_are_refused():
    tower = TextTransformer(
        context_length=4, vocab_size=11, width=8, layers=1, heads=2, embed_dim=4, eot=10
    )
    with pytest.raises(ValueError, match="no end-of-text token"):
        tower(torch.tensor([[9, 3, 10, 0], [9, 1, 2, 3]]))


def test_pictures_of_another_size_are_refused():
    tower = VisionTransformer(image_size=8, patch_size=4, width=8, layers=1, heads=2, embed_dim=4)
    with pytest.raises(ValueError, match="16 pixels wide, the tower takes 8"):
        tower(torch.zeros(1, 3, 16, 16))
    with pytest.raises(ValueError, match="not a multiple of patch_size"):
        VisionTransformer(image_size=9, patch_size=4, width=8, layers=1, heads=2, embed_dim=4)


@pytest.mark.parametrize("final_layernorm", [False, True])
@pytest.mark.parametrize("kind", ["convnet", "conv stem"])
def test_every_parameter_of_an_image_tower_learns(kind, final_layernorm):
    torch.manual_seed(0)
    if kind == "convnet":
        tower = ConvNet(width=8, layers=3, embed_dim=6, final_layernorm=final_layernorm)
        # The residual branches start at zero; one nudge lets the gradient into them.
        for block in tower.stages:
            torch.nn.init.ones_(block.bn2.weight)
    else:
        tower = VisionTransformer(
            image_size=16, patch_size=4, width=16, layers=1, heads=2, embed_dim=6, stem="conv",
            pool="mean", final_layernorm=final_layernorm,
        )  # fmt: skip
    out = tower(torch.rand(4, 3, 16, 16))
    assert out.shape == (4, 6)
    (out * torch.randn(4, 6)).sum().backward()
    dead = [n for n, p in tower.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert dead == []
