"""open_clip's layout and the EuCLIP fork's, against torch's own encoder layers."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from published import (
    DIM,
    PATCH,
    SIDE,
    VOCAB,
    WIDTH,
    meru_state,
    open_clip_features,
    open_clip_state,
)
from safetensors.torch import load_file
from torch.testing import assert_close

import geomclip
from geomclip.errors import RequestError
from geomclip.loaders.to_hf import write_hf
from geomclip.loaders.to_openclip import write_openclip

IDS = torch.tensor([[38, 5, 7, 39, 0, 0, 0, 0, 0], [38, 1, 2, 3, 4, 5, 6, 7, 39]])
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


def checkpoint(path: Path, state: dict[str, torch.Tensor], prefix: str = "module.") -> Path:
    """As training writes it: optimiser, numpy numbers in its groups, DDP's prefix."""
    moments = {n: {"exp_avg": torch.zeros_like(t)} for n, (_, t) in enumerate(state.items())}
    groups = [{"lr": np.float64(5e-4), "step": np.int64(7), "eps": np.float32(1e-6)}]
    torch.save(
        {
            "epoch": 3,
            "name": "run",
            "state_dict": {prefix + name: tensor for name, tensor in state.items()},
            "optimizer": {"state": moments, "param_groups": groups},
        },
        path,
    )
    return path


def agree(model: geomclip.ContrastiveModel, state: dict[str, torch.Tensor], **how) -> None:
    pixels = torch.rand(3, 3, SIDE * PATCH, SIDE * PATCH)
    normal = (pixels - model.pixel_mean) / model.pixel_std
    image, text = open_clip_features(state, normal, IDS, **how)
    assert image.std() > 0.1 and text.std() > 0.1
    with torch.no_grad():
        assert_close(model.image_features(pixels), image, **TOLERANCE)
        assert_close(model.text_features(IDS), text, **TOLERANCE)


def test_a_training_checkpoint_has_the_features_of_its_tensors(tmp_path):
    state = open_clip_state()
    model = geomclip.load(checkpoint(tmp_path / "e.pt", state), geometry="clip")
    assert (model.geometry.name, model.logit_scale.item()) == ("clip", 2.5)
    assert model.pixel_mean.flatten().tolist() == pytest.approx([0.48145466, 0.4578275, 0.40821073])
    assert (model.fit.kind, model.context_length, model.logit_bias) == ("crop", 9, None)
    agree(model, state)
    quick = geomclip.load(tmp_path / "e.pt", geometry="clip", quick_gelu=True)
    agree(quick, state, quick=True)


def test_custom_text_weights_alone_and_settings_beside_them(tmp_path):
    state = open_clip_state()
    of_text = ("token_embedding", "positional_embedding", "transformer", "ln_final", "text_proj")
    named = {f"text.{n}" if n.startswith(of_text) else n: t for n, t in state.items()}
    torch.save(named | {"logit_bias": torch.tensor(-9.5)}, tmp_path / "open_clip_pytorch_model.bin")
    config = {
        "model_cfg": {
            "quick_gelu": True,
            "vision_cfg": {"head_width": 32, "width": WIDTH},
            "text_cfg": {"heads": 4, "pool_type": "eos", "eos_id": 39},
        },
        "preprocess_cfg": {"mean": 3 * [0.5], "std": [0.5, 0.5, 0.25], "resize_mode": "squash"},
    }  # fmt: skip
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    model = geomclip.load(tmp_path)
    assert (model.geometry.name, model.fit.kind) == ("clip", "squash")
    assert model.logit_bias.item() == -9.5
    assert model.pixel_std.flatten().tolist() == [0.5, 0.5, 0.25]
    agree(model, state, quick=True, heads=WIDTH // 32, text_heads=4)


def test_the_forks_hyperbolic_model_lifts_by_its_own_scalars(tmp_path):
    state = open_clip_state()
    learned = {
        "alpha_img": torch.tensor(-1.0), "alpha_txt": torch.tensor(-1.5),
        "curvature": torch.tensor(0.75),
    }  # fmt: skip
    model = geomclip.load(checkpoint(tmp_path / "m.pt", state | learned))
    assert model.geometry.name == "hyperbolic"
    agree(model, state)
    image, text = torch.randn(3, DIM).double(), torch.randn(4, DIM).double()
    c, root = math.exp(0.75), math.sqrt(math.exp(0.75))

    def lifted(f: torch.Tensor, log_alpha: float) -> tuple[torch.Tensor, torch.Tensor]:
        u = f * math.exp(log_alpha)
        length = root * u.norm(dim=-1, keepdim=True)
        x = u * length.sinh() / length
        return x, (1 / c + x.square().sum(-1)).sqrt()

    (x, x_t), (y, y_t) = lifted(image, -1.0), lifted(text, -1.5)
    logits = -torch.acosh(-c * (x @ y.T - x_t[:, None] * y_t)) / root * math.exp(2.5)
    space = model.geometry.double()
    found = space.logits(space.lift(image, "image"), space.lift(text, "text"))
    assert_close(found, logits, rtol=1e-6, atol=1e-6)  # the scalars are float32
    other = geomclip.load(tmp_path / "m.pt", geometry="hyperbolic-squared")
    assert (other.geometry.name, other.geometry.manifold.log_c.item()) == (
        "hyperbolic-squared", 0.75
    )  # fmt: skip


def test_a_curvature_beyond_what_the_fork_computes_with_is_bounded_and_told(tmp_path, caplog):
    state = open_clip_state() | {
        "alpha_img": torch.tensor(0.0), "alpha_txt": torch.tensor(0.0),
        "curvature": torch.tensor(3.0),
    }  # fmt: skip
    model = geomclip.load(checkpoint(tmp_path / "m.pt", state))
    assert model.geometry.manifold.c.item() == pytest.approx(10)
    assert "its curvature is exp(3); the fork computes with 10" in caplog.text


def test_a_euclidean_model_without_final_norms_is_asked_for_and_found_in_params_txt(tmp_path):
    state = open_clip_state()
    state = {n: t for n, t in state.items() if not n.startswith(("visual.ln_post", "ln_final"))}
    (tmp_path / "checkpoints").mkdir()
    path = checkpoint(tmp_path / "checkpoints" / "epoch_5.pt", state)
    with pytest.raises(RequestError, match="CLIP and of a Euclidean model") as caught:
        geomclip.load(path)
    assert "--geometry euclip" in caught.value.how
    params = "batch_size: 4096\ngeometry: euclidean-squared\nmodel: ViT-B-16-no-final-ln\n"
    (tmp_path / "params.txt").write_text(params)
    model = geomclip.load(path)
    assert model.geometry.name == "euclidean-squared"
    agree(model, state)
    features = torch.randn(2, DIM)
    assert_close(model.geometry.lift(features, "image"), features * DIM**-0.5)
    with pytest.raises(RequestError, match="has no learned alpha, and meru has one"):
        geomclip.load(path, geometry="meru")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"visual.attnpool.k_proj.weight": torch.zeros(2)}, "1 tensors belong to no part"),
        ({"visual.conv1.weight": torch.zeros(64, 3, 4, 4)}, "the tensor behind class_embedding"),
        ({"visual.positional_embedding": torch.zeros(9, WIDTH)}, "9 positions of the image tower"),
        ({"text_projection": torch.zeros(64, 25)}, "pictures have 24 dimensions and texts 25"),
        ({"logit_scale": torch.tensor(math.nan)}, "logit_scale is no finite number"),
        ({"alpha_img": torch.tensor(0.0)}, "it has alpha of image alone"),
        ({"ln_final.weight": None}, "the tensor behind ln_final.bias has no place"),
        ({"transformer.resblocks.1.ln_2.bias": None}, "ln_2.bias, of shape (64,), is missing"),
    ],
    ids=str,
)  # fmt: skip
def test_weights_that_make_no_model_are_refused_by_name(tmp_path, change, says):
    state = {n: t for n, t in (open_clip_state() | change).items() if t is not None}
    path = checkpoint(tmp_path / "e.pt", state)
    with pytest.raises(RequestError) as caught:
        geomclip.load(path, geometry="clip")
    assert caught.value.what.startswith(str(path)) and "\n" not in caught.value.what
    assert says in caught.value.what


def test_a_config_of_towers_that_are_not_ours_is_refused(tmp_path):
    checkpoint(tmp_path / "open_clip_pytorch_model.bin", open_clip_state(), "")
    config = {"model_cfg": {"vision_cfg": {"timm_model_name": "vit_base"}, "text_cfg": {}}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(RequestError, match="an image tower of timm, which is not read"):
        geomclip.load(tmp_path)


def test_strings_need_a_vocabulary_of_the_towers_size(tmp_path):
    path = checkpoint(tmp_path / "e.pt", open_clip_state())
    model = geomclip.load(path, geometry="clip")
    with pytest.raises(RequestError, match="there was no vocabulary beside its weights"):
        model.encode_text(["a dog"])
    from geomclip.data.tokenizer import Tokenizer

    Tokenizer.train(["a dog", "an animal"], 514).save(tmp_path / "tokenizer.json")
    with pytest.raises(RequestError, match=f"vocabulary has 514 entries, the text tower {VOCAB}"):
        geomclip.load(path, geometry="clip")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_in_half_precision_become_float32_as_they_are(tmp_path, dtype):
    state = {name: tensor.to(dtype) for name, tensor in open_clip_state().items()}
    model = geomclip.load(checkpoint(tmp_path / "e.pt", state), geometry="clip")
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    agree(model, {name: tensor.float() for name, tensor in state.items()})


SCALARS = {
    "clip": {}, "euclip": {"logit_bias": torch.tensor(-9.5)},
    "meru": {
        "alpha_img": torch.tensor(-1.0), "alpha_txt": torch.tensor(-1.5),
        "curvature": torch.tensor(0.3),
    },
}  # fmt: skip


@pytest.mark.parametrize("geometry", SCALARS)
def test_export_gives_the_published_names_and_comes_back_bit_by_bit(tmp_path, geometry):
    state = open_clip_state() | SCALARS[geometry]
    if geometry == "euclip":
        state = {n: t for n, t in state.items() if not n.startswith(("visual.ln_post", "ln_final"))}
    first = geomclip.load(checkpoint(tmp_path / "e.pt", state), geometry=geometry, quick_gelu=True)
    write_openclip(first, tmp_path / "out")
    written = load_file(tmp_path / "out" / "open_clip_model.safetensors")
    assert written.keys() == state.keys()
    exact = written.keys() - {"curvature"}  # log c, anew from c
    assert all(torch.equal(written[name], state[name]) for name in exact)
    again = geomclip.load(tmp_path / "out")
    agree(again, state, quick=True)
    a, b = first.state_dict(), again.state_dict()
    assert a.keys() == b.keys()
    assert all(torch.equal(a[n], b[n]) for n in a if not n.endswith("log_c"))
    assert (first.geometry.name, first.geometry.scalars()) == (geometry, again.geometry.scalars())
    assert [m.requires_grad for m in first.parameters()] == [
        m.requires_grad for m in again.parameters()
    ]
    assert torch.equal(first.encode_text(IDS), again.encode_text(IDS))
    with pytest.raises(RequestError, match=f"its geometry is {geometry}, not elliptic"):
        geomclip.load(tmp_path / "out", geometry="elliptic")


def test_export_tells_what_open_clip_has_no_words_for(tmp_path):
    torch.save({"model": meru_state()}, tmp_path / "meru.pth")
    model = geomclip.load(tmp_path / "meru.pth")
    with pytest.raises(RequestError, match="open_clip's CLIP has no words for patches with a bias"):
        write_openclip(model, tmp_path / "out")
    with pytest.raises(RequestError, match="patches with a bias, no LayerNorm before the image"):
        write_hf(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()
