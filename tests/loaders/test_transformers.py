"""Hugging Face's folders against transformers itself: small models with random weights.

All that needs transformers is in this file: importing it costs more than all of these tests.
"""

import io
import json
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

import geomclip
from geomclip.data.record import decode_image
from geomclip.data.tokenizer import Tokenizer
from geomclip.data.transforms import on_white
from geomclip.errors import RequestError
from geomclip.loaders.to_hf import write_hf
from geomclip.model import build_model
from geomclip.train.config import ImageTowerConfig, ModelConfig, TextTowerConfig, TrainConfig

# transformers 4 warns so of every tokenizer whose folder does not say clean_up_tokenization_spaces.
pytestmark = pytest.mark.filterwarnings("ignore:`clean_up_tokenization_spaces`:FutureWarning")


@pytest.fixture(scope="module")
def hf() -> ModuleType:
    return pytest.importorskip("transformers", reason="the extra hf is not installed")


def processors(hf: ModuleType, kind: str) -> type:
    """The image processor on PIL: in transformers 5 it has a name of its own."""
    module = getattr(hf.models, kind.lower())
    return getattr(module, f"{kind}ImageProcessorPil", None) or getattr(
        module, f"{kind}ImageProcessor"
    )


def pooled(features) -> torch.Tensor:
    """What get_image_features gives: the tensor itself in transformers 4."""
    return features if isinstance(features, torch.Tensor) else features.pooler_output


VISION = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "image_size": 12, "patch_size": 4,
}  # fmt: skip
TEXT = {
    "hidden_size": 24, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 3,
    "vocab_size": 40, "max_position_embeddings": 9,
}  # fmt: skip
# The end is the largest id (OpenAI's rule), or the first 7, behind which larger ids stand.
LARGEST = torch.tensor([[38, 5, 7, 39, 0, 0, 0, 0, 0], [38, 1, 2, 3, 4, 5, 6, 7, 39]])
FIRST_7 = torch.tensor([[38, 5, 30, 7, 39, 7, 1, 1, 1], [38, 1, 2, 3, 4, 5, 6, 8, 7]])


def shaken(model: torch.nn.Module) -> torch.nn.Module:
    """Every parameter random, the norms' and biases too, so that none can be left out unseen."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.2 * torch.randn(p.shape, generator=generator))
    return model.eval()


def clip_model(hf: ModuleType, vision: dict, text: dict) -> torch.nn.Module:
    torch.manual_seed(0)
    config = hf.CLIPConfig(
        text_config={**TEXT, **text}, vision_config={**VISION, **vision}, projection_dim=16
    )
    return shaken(hf.CLIPModel(config))


def siglip_model(hf: ModuleType, vision: dict, text: dict) -> torch.nn.Module:
    torch.manual_seed(0)
    # The head of texts has a size of its own since transformers 4.50; before it is the width.
    wide = hasattr(hf.SiglipTextConfig(), "projection_size")
    head = {"projection_size": 32} if wide else {"hidden_size": 32, "num_attention_heads": 4}
    config = hf.SiglipConfig(
        text_config={**TEXT, **head, **text}, vision_config={**VISION, **vision}
    )
    return shaken(hf.SiglipModel(config))


@torch.no_grad()
def features_agree(theirs: torch.nn.Module, ours: geomclip.ContrastiveModel, ids) -> None:
    pixels = torch.rand(3, 3, ours.image_size, ours.image_size)
    normal = (pixels - ours.pixel_mean) / ours.pixel_std
    image = pooled(theirs.get_image_features(normal))
    text = pooled(theirs.get_text_features(ids))
    assert image.std() > 0.1 and text.std() > 0.1
    assert_close(ours.image_features(pixels), image, rtol=1e-5, atol=1e-5)
    assert_close(ours.text_features(ids), text, rtol=1e-5, atol=1e-5)
    logits = theirs(input_ids=ids, pixel_values=normal).logits_per_image
    bias = 0.0 if ours.logit_bias is None else ours.logit_bias
    found = ours.geometry.logits(ours.encode_image(pixels), ours.encode_text(ids)) + bias
    assert_close(found, logits, rtol=1e-5, atol=1e-5)


CLIPS = {
    "OpenAI's": ({}, {"eos_token_id": 2}, LARGEST),
    "gelu, first end": (
        {"hidden_act": "gelu", "layer_norm_eps": 1e-3, "patch_size": 6},
        {"hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-4, "eos_token_id": 7},
        FIRST_7,
    ),
}


@pytest.mark.parametrize("case", CLIPS, ids=str)
def test_clip_folder_has_the_features_and_logits_of_transformers(hf, tmp_path, case):
    vision, text, ids = CLIPS[case]
    theirs = clip_model(hf, vision, text)
    theirs.save_pretrained(tmp_path, max_shard_size="30KB" if vision else "1GB")
    assert (tmp_path / "model.safetensors.index.json").exists() == bool(vision)
    ours = geomclip.load(tmp_path)
    assert (ours.geometry.name, ours.logit_bias, ours.fit.kind) == ("clip", None, "crop")
    features_agree(theirs, ours, ids)


@pytest.mark.parametrize("size", [12, 14], ids=["whole patches", "pixels left over"])
def test_siglip_folder_has_the_features_and_logits_of_transformers(hf, tmp_path, size):
    theirs = siglip_model(hf, {"image_size": size}, {"hidden_act": "gelu"})
    theirs.save_pretrained(tmp_path)
    ours = geomclip.load(tmp_path)
    assert (ours.geometry.name, ours.fit.kind, ours.image_size) == ("clip", "squash", size)
    features_agree(theirs, ours, LARGEST)


def png(width: int, height: int) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("shape", [(37, 22), (21, 40)], ids=["wide", "tall"])
@pytest.mark.parametrize("kind", ["crop", "crop of 17", "squash"])
def test_pictures_become_the_pixels_of_transformers(hf, tmp_path, kind, shape):
    if kind == "squash":
        processor = processors(hf, "Siglip")(size={"height": 12, "width": 12}, resample=2)
        model = siglip_model(hf, {}, {})
    else:
        edge = 17 if "17" in kind else 12
        processor = processors(hf, "CLIP")(
            size={"shortest_edge": edge}, crop_size={"height": 12, "width": 12}
        )
        model = clip_model(hf, {}, {})
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    ours = geomclip.load(tmp_path)
    data = png(*shape)
    pixels = on_white(decode_image(data, ours.image_size, ours.fit)[None])
    theirs = processor(Image.open(io.BytesIO(data)), return_tensors="pt").pixel_values
    assert_close((pixels - ours.pixel_mean) / ours.pixel_std, theirs, rtol=0, atol=1e-5)


def test_a_folder_says_in_one_line_what_is_wrong_with_its_settings(hf, tmp_path):
    clip_model(hf, {}, {}).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())

    def refusal(file: str, text: str | None) -> str:
        (tmp_path / "config.json").write_text(json.dumps(config))
        (tmp_path / "preprocessor_config.json").write_text("{}")
        if text is None:
            (tmp_path / file).unlink()
        else:
            (tmp_path / file).write_text(text)
        with pytest.raises(RequestError) as caught:
            geomclip.load(tmp_path)
        assert "\n" not in caught.value.what
        return caught.value.what

    def changed(tower: str, **values) -> str:
        return json.dumps(config | {tower: config[tower] | values})

    assert "there is no config.json beside the weights" in refusal("config.json", None)
    assert "not readable as json" in refusal("config.json", "{")
    act = changed("text_config", hidden_act="relu")
    assert "towers have the activation 'relu'" in refusal("config.json", act)
    heads = changed("vision_config", num_attention_heads=5)
    assert "width 32 is not a multiple of heads 5" in refusal("config.json", heads)
    size = changed("vision_config", image_size=16)
    assert "3 x 3 patches of 4 pixels do not make pictures of 16" in refusal("config.json", size)
    pair = changed("vision_config", image_size=[12, 12])
    assert "configuration's image_size is [12, 12]" in refusal("config.json", pair)
    pixels = json.dumps({"crop_size": 10, "size": 12})
    assert "make no pictures of 12 x 12" in refusal("preprocessor_config.json", pixels)
    pixels = json.dumps({"image_mean": [0.5]})
    assert "image_mean is [0.5], not three numbers" in refusal("preprocessor_config.json", pixels)


# --- export ---


def trained(geometry: str, **image) -> geomclip.ContrastiveModel:
    """A model of ours with every scalar off its initial value, and its root set."""
    words = ["a red apple", "a dog, an animal", "two cats"]
    model = build_model(
        TrainConfig(
            geometry=geometry,
            model=ModelConfig(
                embed_dim=16,
                image=ImageTowerConfig(
                    **{"kind": "vit", "image_size": 8, "width": 32, "layers": 2, "heads": 4} | image
                ),
                text=TextTowerConfig(width=24, layers=2, heads=3, context_length=8),
            ),
        ),
        Tokenizer.train(words, vocab_size=540),
    ).eval()
    shaken(model)
    with torch.no_grad():
        points = model.encode_text(words)
        model.geometry.set_root_(points, points)
    return model


def same_model(a: geomclip.ContrastiveModel, b: geomclip.ContrastiveModel) -> None:
    mine, theirs = a.state_dict(), b.state_dict()
    log_c = {name for name in mine if name.endswith("log_c")}  # c itself is compared
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine.keys() - log_c)
    assert a.geometry.scalars() == b.geometry.scalars()
    assert (a.fit, a.image_size, a.context_length) == (b.fit, b.image_size, b.context_length)
    texts, pixels = ["a red dog", "cats"], torch.rand(2, 3, a.image_size, a.image_size)
    with torch.no_grad():
        assert torch.equal(a.encode_text(texts), b.encode_text(texts))
        assert torch.equal(a.encode_image(pixels), b.encode_image(pixels))


@pytest.mark.parametrize("geometry", ["clip", "euclip", "meru"])
def test_our_models_open_in_transformers_and_come_back_as_they_were(hf, tmp_path, geometry):
    model = trained(geometry, quick_gelu=geometry == "clip")
    write_hf(model, tmp_path / "out")
    same_model(geomclip.load(tmp_path / "out"), model)
    theirs = hf.CLIPModel.from_pretrained(tmp_path / "out").eval()
    tokenizer = hf.AutoTokenizer.from_pretrained(tmp_path / "out")
    processor = processors(hf, "CLIP").from_pretrained(tmp_path / "out")
    texts = ["a red apple", "Dogs & 2 cats"]
    ids = tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids
    data = png(19, 19)
    pixels = processor(Image.open(io.BytesIO(data)), return_tensors="pt").pixel_values
    picture = on_white(decode_image(data, model.image_size, model.fit)[None])
    with torch.no_grad():
        image = pooled(theirs.get_image_features(pixels))
        text = pooled(theirs.get_text_features(ids))
        assert_close(model.image_features(picture), image, rtol=1e-5, atol=1e-5)
        assert_close(model.text_features(texts), text, rtol=1e-5, atol=1e-5)
    assert theirs.logit_scale.item() == model.logit_scale.item()


def test_siglip_goes_through_our_towers_and_back(hf, tmp_path):
    theirs = siglip_model(hf, {"image_size": 14}, {})
    theirs.save_pretrained(tmp_path / "theirs")
    model = geomclip.load(tmp_path / "theirs")
    write_hf(model, tmp_path / "ours")
    again = hf.SiglipModel.from_pretrained(tmp_path / "ours")
    before = theirs.state_dict()
    assert before.keys() == again.state_dict().keys()
    assert all(torch.equal(before[name], tensor) for name, tensor in again.state_dict().items())
    features_agree(again.eval(), geomclip.load(tmp_path / "ours"), LARGEST)


@pytest.mark.parametrize(
    ("image", "says"),
    [
        ({"kind": "convnet", "heads": 1}, "no words for these encoders: image ConvNet"),
        ({"pool": "mean"}, "no words for an image tower read by mean"),
        ({"stem": "conv"}, "no words for patches made by several convolutions"),
    ],
)
def test_what_transformers_can_not_express_is_refused(tmp_path, image, says):
    with pytest.raises(RequestError, match=says) as caught:
        write_hf(trained("clip", **image), tmp_path / "out")
    assert "\n" not in caught.value.what and not (tmp_path / "out").exists()


def test_nothing_is_written_over(tmp_path):
    (tmp_path / "kept").write_text("")
    with pytest.raises(RequestError, match="exists and is no empty folder"):
        write_hf(trained("clip"), tmp_path)
