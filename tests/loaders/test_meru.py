"""MERU's layout and its relatives', against torch's own encoder layers and the written formulas."""

import math
from pathlib import Path

import pytest
import torch
from published import DIM, PATCH, SIDE, meru_features, meru_state
from torch.testing import assert_close

import geomclip
from geomclip.analysis.neighbors import nearest
from geomclip.errors import RequestError

IDS = torch.tensor([[38, 5, 7, 39, 0, 0, 0, 0, 0], [38, 1, 2, 3, 4, 5, 6, 7, 39]])


def write(path: Path, state: dict[str, torch.Tensor], **beside: object) -> Path:
    torch.save({"model": state, "iteration": 120_000, "optimizer": {}, **beside}, path)
    return path


def without(state: dict[str, torch.Tensor], *names: str) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in state.items() if name not in names}


def test_a_checkpoint_gives_the_points_of_its_formulas(tmp_path):
    state = meru_state()
    model = geomclip.load(write(tmp_path / "meru.pth", state))
    pixels = torch.rand(3, 3, SIDE * PATCH, SIDE * PATCH)
    image, text = meru_features(state, pixels, IDS)
    with torch.no_grad():
        assert_close(model.image_features(pixels), image, rtol=1e-5, atol=1e-5)
        assert_close(model.text_features(IDS), text, rtol=1e-5, atol=1e-5)
        points = model.encode_text(IDS)
    assert model.geometry.name == "hyperbolic"
    assert model.geometry.scalars() == pytest.approx(
        {"logit_scale": 2.5, "c": math.exp(-0.4), "alpha_image": math.exp(-1.2),
         "alpha_text": math.exp(-0.7)}
    )  # fmt: skip
    # Space components of exp_0(alpha f): sinh(sqrt(c) |u|) / (sqrt(c) |u|) u.
    u = text.double() * math.exp(-0.7)
    length = math.exp(-0.2) * u.norm(dim=-1, keepdim=True)
    assert_close(points.double(), length.sinh() / length * u, rtol=2e-5, atol=1e-5)


def test_a_clip_baseline_comes_with_its_root(tmp_path):
    state = without(meru_state(), "curv", "visual_alpha", "textual_alpha")
    root = torch.randn(DIM)
    model = geomclip.load(write(tmp_path / "clip.pth", state, root=root))
    assert model.geometry.name == "clip"
    assert_close(model.geometry.root, root / root.norm())


def test_unchas_scale_of_wholes_is_the_one_that_is_read(tmp_path):
    scales = {
        "global_logit_scale": torch.tensor(3.25), "local_logit_scale": torch.tensor(1.0),
        "global_local_logit_scale": torch.tensor(2.0),
    }  # fmt: skip
    model = geomclip.load(write(tmp_path / "uncha.pth", meru_state() | scales))
    assert model.logit_scale.item() == 3.25


def test_the_small_model_has_twelve_heads(tmp_path):
    state = meru_state()
    wide = {}
    for name, tensor in state.items():  # 128 to 384 wide
        shape = [{128: 384, 384: 1152, 512: 1536}.get(n, n) for n in tensor.shape]
        vision = name.startswith("visual") and name != "visual_alpha"
        wide[name] = torch.zeros(shape) if vision else tensor
    wide["visual_proj.weight"] = torch.zeros(DIM, 384)
    wide["textual_proj.weight"] = state["textual_proj.weight"]
    model = geomclip.load(write(tmp_path / "small.pth", wide))
    assert model.encoders["image"].transformer.heads == 12


def test_hysac_is_recognised_and_refused_in_one_line(tmp_path):
    layer = "base_model.model.{}.encoder.layers.0.self_attn.q_proj.lora_A.default.weight"
    state = {
        "visual." + layer.format("vision_model"): torch.zeros(2, 2),
        "textual." + layer.format("text_model"): torch.zeros(2, 2),
        "curv": torch.tensor(0.0),
    }
    torch.save(state, tmp_path / "hysac.pth")
    with pytest.raises(RequestError, match="HySAC's layout: its towers are adapted by LoRA") as it:
        geomclip.load(tmp_path / "hysac.pth")
    assert "\n" not in it.value.what


def test_what_is_missing_is_named(tmp_path):
    path = write(tmp_path / "meru.pth", without(meru_state(), "logit_scale"))
    with pytest.raises(RequestError, match="no tensor logit_scale"):
        geomclip.load(path)
    path = write(tmp_path / "meru.pth", meru_state() | {"box_proj.weight": torch.zeros(2)})
    with pytest.raises(RequestError, match=r"our towers have: box_proj\.weight"):
        geomclip.load(path)


def test_phyclip_is_a_product_whose_logit_is_the_mean_of_the_factors_distances(tmp_path):
    state, factors, each = meru_state(), 6, DIM // 6
    c = torch.linspace(-1, 1, factors).exp()
    alphas = {"visual": torch.linspace(-0.5, 0.3, factors), "textual": torch.linspace(0.2, -1, 6)}
    for i in range(factors):
        state[f"curvs.{i}"] = c[i].log()
        for tower, values in alphas.items():
            state[f"{tower}_concept_alphas.{i}"] = values[i]
    model = geomclip.load(write(tmp_path / "phyclip.pth", state))
    pixels = torch.rand(3, 3, SIDE * PATCH, SIDE * PATCH)
    features = meru_features(state, pixels, IDS)

    def lifted(f: torch.Tensor, tower: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Space components (n, k, d/k) and time components (n, k)."""
        u = f.double().view(-1, factors, each) * alphas[tower].double().exp()[:, None]
        length = c.double().sqrt()[:, None] * u.norm(dim=-1, keepdim=True)
        x = length.sinh() / length * u
        return x, (1 / c.double() + x.square().sum(-1)).sqrt()

    (x, x_t), (y, y_t) = lifted(features[0], "visual"), lifted(features[1], "textual")
    inner = torch.einsum("nkd,mkd->nmk", x, y) - x_t[:, None] * y_t
    logits = -(torch.acosh(-c.double() * inner) / c.double().sqrt()).mean(-1) * math.exp(2.5)
    with torch.no_grad():
        image, text = model.encode_image(pixels), model.encode_text(IDS)
        assert_close(image.double(), x.flatten(1), rtol=1e-4, atol=1e-4)
        found = model.geometry.logits(image, text)
    assert_close(found.double(), logits, rtol=1e-5, atol=1e-4)
    near = nearest(model.geometry, image, text, 2)
    assert_close(near.value.double(), -logits.sort(descending=True).values / math.exp(2.5),
                 rtol=1e-5, atol=1e-5)  # fmt: skip
    with pytest.raises(RequestError, match="in its tensors"):
        geomclip.load(tmp_path / "phyclip.pth", geometry="meru")
    with pytest.raises(RequestError, match="24 coordinates do not divide into 5 factors"):
        geomclip.load(write(tmp_path / "cut.pth", without(state, "curvs.5")))
