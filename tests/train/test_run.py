"""The run folder: what is in it, and that the model comes back from it."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import geomclip
from geomclip.data.transforms import on_white
from geomclip.errors import RequestError
from geomclip.train import train
from geomclip.train.checkpoint import checkpoints
from geomclip.train.config import from_toml
from geomclip.train.run import read_config


def test_the_folder_holds_what_is_promised(reference: Any) -> None:
    assert sorted(p.name for p in reference.out.iterdir()) == [
        "README.md", "checkpoints", "config.json", "config.toml", "finished.json",
        "metrics.jsonl", "model.safetensors", "preprocessor_config.json", "tokenizer.json",
    ]  # fmt: skip


def test_the_configuration_comes_back(
    reference: Any, small: SimpleNamespace, settings: dict[str, Any]
) -> None:
    assert read_config(reference.out) == small.config(**settings)
    assert from_toml(reference.out / "config.toml") == small.config(**settings)


@pytest.mark.parametrize("geometry", ["clip", "meru"])
def test_the_loaded_model_gives_the_same_features(
    tmp_path: Path, small: SimpleNamespace, splits: Any, geometry: str
) -> None:
    """Equal bits from two loads, and equal to the model in the trainer's hands at its last step."""
    out = tmp_path / "run"
    train(small.config(geometry=geometry, steps=3), out, splits=splits)
    model, again = geomclip.load(out), geomclip.load(str(checkpoints(out)[-1]))
    assert not model.training
    pixels, texts = on_white(splits.train.images[:8]), splits.train.names[:8]
    with torch.no_grad():
        assert torch.equal(model.image_features(pixels), again.image_features(pixels))
        assert torch.equal(model.text_features(texts), again.text_features(texts))
        assert torch.equal(
            model.geometry.root_distance(model.encode_text(texts)),
            again.geometry.root_distance(again.encode_text(texts)),
        )
    stored = model.state_dict()
    assert stored["encoders.image.bn.num_batches_tracked"].item() == 3


def test_the_root_is_the_normalised_mean_of_all_embeddings(
    tmp_path: Path, small: SimpleNamespace, splits: Any
) -> None:
    train(small.config(geometry="clip", steps=3), tmp_path / "run", splits=splits)
    model = geomclip.load(tmp_path / "run")
    with torch.no_grad():
        images = model.encode_image(on_white(splits.train.images)).double()
        texts = model.encode_text(splits.train.names).double()
    mean = torch.cat([images, texts]).mean(0)
    torch.testing.assert_close(model.geometry.root.double(), mean / mean.norm(), atol=1e-6, rtol=0)


def test_json_files_say_what_the_model_is(reference: Any) -> None:
    config = json.loads((reference.out / "config.json").read_text())
    assert config["model_type"] == "geomclip"
    assert config["geometry"]["name"] == "meru"
    assert config["geometry"]["manifold"] == "lorentz"
    assert config["model"]["image"]["width"] == 8
    assert config["parameters"] == reference.parameters
    preprocessor = json.loads((reference.out / "preprocessor_config.json").read_text())
    assert preprocessor["size"] == {"height": 16, "width": 16}
    assert preprocessor["image_mean"] == pytest.approx([0.48145466, 0.4578275, 0.40821073])


def test_the_card_tells_what_was_done_and_claims_nothing_else(reference: Any) -> None:
    card = (reference.out / "README.md").read_text()
    last = reference.last
    assert card.startswith("---\nlibrary_name: geomclip\n")
    assert "# meru, trained on emoji-64" in card
    assert "The first 64 emoji of two vendors." in card
    assert "128 training pictures" in card
    assert "| entailment weight | 0.2 |" in card
    assert f"| contrastive loss, nats | {last['contrastive']:.3f} (chance 2.773) |" in card
    assert f"| c | {last['c']:.3g} |" in card
    assert "This card holds no evaluation" in card
    assert "{" not in card


def test_the_code_of_the_card_runs(reference: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    card = (reference.out / "README.md").read_text()
    code = card.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(reference.out.parent)
    values: dict[str, Any] = {}
    exec(code, values)
    assert values["points"].shape == (2, 16)


def test_an_unfinished_run_is_not_taken_for_a_model(tmp_path: Path, reference: Any) -> None:
    out = tmp_path / "run"
    shutil.copytree(reference.out, out)
    (out / "finished.json").unlink()
    with pytest.raises(RequestError, match=r"unfinished.*step-000030\)\n.*--resume --out.*or pass"):
        geomclip.load(out)
    assert geomclip.load(out / "checkpoints" / "step-000020").dim == 16


def test_a_source_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no such file or folder"):
        geomclip.load(tmp_path / "absent")
    with pytest.raises(RequestError, match=r"folder holds no run \(no config\.toml\)"):
        geomclip.load(tmp_path)
    file = tmp_path / "weights.pt"
    file.write_bytes(b"")
    with pytest.raises(RequestError, match=r"weights\.pt is not readable as a checkpoint"):
        geomclip.load(file)


def test_a_run_of_another_shape_is_refused_by_tensor(tmp_path: Path, reference: Any) -> None:
    out = tmp_path / "run"
    shutil.copytree(reference.out, out)
    text = (out / "config.toml").read_text()
    (out / "config.toml").write_text(text.replace("embed_dim = 16", "embed_dim = 8"))
    with pytest.raises(RequestError, match=r"proj has shape \(32, 16\), expected \(32, 8\)"):
        geomclip.load(out)
