"""Runs of more than two modalities: towers, shared towers, tables of points, one's own encoders."""

import dataclasses
import io
import json
import math
import tarfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import shards
import torch
from torch import nn

import geomclip
from geomclip.data.emoji import read_rendition
from geomclip.data.sources import load
from geomclip.data.transforms import on_white
from geomclip.errors import RequestError
from geomclip.evaluate import evaluate
from geomclip.train import train
from geomclip.train.checkpoint import checkpoints
from geomclip.train.config import DataConfig, LossConfig, ModalityConfig, from_toml
from geomclip.train.log import TIMING, read_metrics
from geomclip.train.modality_config import IMAGE_TEXT, Roles

THREE = {
    "image": ModalityConfig("image"),
    "name": ModalityConfig("name"),
    "keywords": ModalityConfig("keywords"),
}
BOXES = {
    "image": ModalityConfig("image"),
    "text": ModalityConfig("caption"),
    "box": ModalityConfig("box", shares="image"),
    "phrase": ModalityConfig("phrase", shares="text"),
}
DIM, SIDE = 16, 16


class Stop(Exception):
    """What interrupts a run."""


def untimed(out: Path) -> list[dict[str, Any]]:
    records = read_metrics(out / "metrics.jsonl")
    return [{k: v for k, v in record.items() if k not in TIMING} for record in records]


def stopped_and_resumed(config: Any, out: Path, splits: Any, at: int) -> None:
    def stop(record: dict[str, Any]) -> None:
        if record.get("step") == at:
            raise Stop

    with pytest.raises(Stop):
        train(config, out, splits=splits, progress=stop)
    train(config, out, splits=splits, resume=True)


def test_four_modalities_with_a_table_train_resume_load_and_are_evaluated(
    tmp_path: Path, small: SimpleNamespace, splits: Any,
    weights: Callable[..., Any], same: Callable[..., bool],
) -> None:  # fmt: skip
    """Pictures, names, keywords, and a point of the hyperboloid, whose c is learned, for each."""
    config = small.config(
        geometry="meru",
        modalities={**THREE, "emoji": ModalityConfig("item")},
        contrast=("image:name", "image:keywords", "name:keywords", "image:emoji"),
        entails=("keywords:name", "name:image"),
        entailment=0.2,
        lr=1e-2,
        steps=8,
        checkpoint_every=3,
    )
    whole = train(config, tmp_path / "whole", splits=splits).out
    stopped_and_resumed(config, tmp_path / "again", splits, at=4)
    assert same(weights(whole), weights(tmp_path / "again"))
    assert untimed(whole) == untimed(tmp_path / "again")
    records = read_metrics(whole / "metrics.jsonl")
    assert records[-1]["contrastive"] < records[0]["contrastive"]
    names = {"image", "name", "keywords", "emoji"}
    assert {k.removeprefix("radius_") for k in records[0] if k.startswith("radius_")} == names
    assert {k.removeprefix("alpha_") for k in records[0] if k.startswith("alpha_")} == names - {
        "emoji"
    }

    model = geomclip.load(whole)
    assert model.items == tuple(dict.fromkeys(splits.train.ids))
    table = model.encoders["emoji"].weight
    assert table.shape == (len(model.items), DIM) and model.geometry.manifold.check_point(table)
    rows = torch.tensor([3, 0])
    assert torch.equal(model.encode(rows, "emoji"), table[rows])
    assert torch.equal(model.encode_text(["a cat"]), model.encode(["a cat"], "name"))
    assert not torch.equal(model.encode_text(["a cat"]), model.encode(["a cat"], "keywords"))
    with pytest.raises(ValueError, match="no modality 'sound'; this model has image, name, keyw"):
        model.encode(rows, "sound")
    about = json.loads((whole / "config.json").read_text())
    assert about["modalities"]["emoji"]["reads"] == "item"
    card = (whole / "README.md").read_text()
    assert "Encoders of image (image tower), name (text tower), keywords (text tower)" in card
    assert "| `emoji` | item | emoji |" in card

    found = evaluate(model, splits)
    value = lambda metric: found.value("heldout_rendition", metric)  # noqa: E731
    ways = {f"{a}_to_{b}" for a in names for b in names if a != b}
    details = found.splits["heldout_rendition"].by_modality
    assert details is not None and set(details.pairs) == ways
    assert set(details.root_distance) == names
    for way in ways:
        assert 0 <= value(f"{way}_r1") <= value(f"{way}_r10") <= 1
        assert details.pairs[way].chances()["r1"] < 0.05
    pool = splits.evaluation["heldout_rendition"].pool
    place = {item: row for row, item in enumerate(model.items)}
    known = [row for row, id in enumerate(pool.ids) if id in place]
    with torch.no_grad():
        images = model.encode_image(on_white(pool.images[known]))
        scores = model.geometry.score(images, table[[place[pool.ids[row]] for row in known]])
    ranks = (scores >= scores.diagonal()[:, None]).sum(1)
    pair = details.pairs["image_to_emoji"]
    assert pair.queries == pair.candidates == len(known) < len(pool)
    assert pair.found.rank.tolist() == ranks.tolist()
    assert value("image_to_emoji_r5") == (ranks <= 5).double().mean().item()
    distances = model.geometry.root_distance(table[[place[pool.ids[row]] for row in known]])
    assert value("root_distance_emoji") == pytest.approx(distances.median().item(), rel=1e-6)


@pytest.mark.parametrize("name", ["gram", "pmrl"])
def test_losses_over_three_modalities_fall(
    tmp_path: Path, small: SimpleNamespace, splits: Any, name: str
) -> None:
    subset = dataclasses.replace(splits, train=splits.train.subset(range(32)))
    config = small.config(
        geometry="clip", modalities=THREE, loss=LossConfig(contrastive=name),
        steps=12, log_every=2, batch_size=32, lr=1e-2, warmup=0.0, accumulate=2,
    )  # fmt: skip
    train(config, tmp_path / "run", splits=subset)
    records = read_metrics(tmp_path / "run" / "metrics.jsonl")
    chance = math.log(32)
    if name == "pmrl":
        chance += math.log1p(2 * math.exp(-math.sqrt(3) / 0.1))
    assert records[0]["chance"] == pytest.approx(chance, rel=1e-12)
    first, last = (sum(r["loss"] for r in part) / 2 for part in (records[:2], records[-2:]))
    assert last < 0.95 * first
    assert from_toml(tmp_path / "run" / "config.toml") == config


def boxed(folder: Path, shard: int, count: int) -> None:
    """A tar in GRIT's layout: emoji, of each of which the middle is called by its last word."""
    with tarfile.open(folder / f"{shard:05d}.tar", "w") as tar:
        for i, record in enumerate(islice(read_rendition("noto"), (shard + 1) * count)):
            if i // count != shard:
                continue
            name = f"a picture of {record.texts[0]}"
            start = name.rindex(" ") + 1
            box = [start, len(name), 0.25, 0.25, 0.75, 0.75, 0.9]
            about = {"caption": name, "ref_exps": [box], "noun_chunks": []}
            for suffix, data in (("png", record.image), ("json", json.dumps(about).encode())):
                info = tarfile.TarInfo(f"{i:09d}.{suffix}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def boxes_config(folder: Path, small: SimpleNamespace, stream: str, **changes: Any) -> Any:
    data = DataConfig(
        source=str(folder), boxes=True, stream=stream, workers=0, shuffle=32, sample=32
    )
    return small.config(
        data=data, geometry="meru", modalities=BOXES, loss=LossConfig(contrastive="hycoclip"),
        entailment=0.2, steps=5, log_every=1, batch_size=32, lr=1e-2, warmup=0.0, **changes,
    )  # fmt: skip


@pytest.mark.parametrize("stream", ["always", "never"])
def test_boxes_with_their_words_are_trained_on(
    tmp_path: Path, small: SimpleNamespace, stream: str
) -> None:
    data = tmp_path / "grit"
    data.mkdir()
    for shard in range(2):
        boxed(data, shard, 40)
    config = boxes_config(data, small, stream)
    splits = load(config.data, SIDE)
    whole = train(config, tmp_path / "whole", splits=splits).out
    records = read_metrics(whole / "metrics.jsonl")
    assert records[-1]["contrastive"] < records[0]["contrastive"]
    # The scheme's own entailment, half of four cones, is what the weight stands before.
    assert all(r["loss"] > r["contrastive"] for r in records)
    assert records[0]["radius_box"] > 0
    model = geomclip.load(whole)
    assert list(model.encoders) == ["image", "text"] and model.encoder_of("box") == "image"
    if stream == "never":
        corpus = splits.train
        assert all(len(b) == len(c) == 1 for b, c in zip(corpus.boxes, corpus.crops, strict=True))
        # The middle of 32 pixels scaled to the side of 16 is itself: what is cut, is cut first.
        from geomclip.data.record import decode_image

        record = next(r for r in read_rendition("noto") if r.texts[0] in corpus.texts[0][0])
        middle = decode_image(record.image, 32)[:, 8:24, 8:24]
        assert torch.equal(corpus.crops[0][0], middle)


def test_samples_without_a_box_are_bad(tmp_path: Path, small: SimpleNamespace, splits: Any) -> None:
    data = tmp_path / "grit"
    data.mkdir()
    boxed(data, 0, 40)
    plain = shards.numbered(1)
    with tarfile.open(data / "00001.tar", "w") as tar:
        for suffix, content in (("png", plain), ("json", b'{"caption": "a b", "ref_exps": 3}')):
            info = tarfile.TarInfo(f"1.{suffix}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    config = boxes_config(data, small, "never")
    with pytest.raises(RequestError, match="no box: its json has neither ref_exps nor noun_chunks"):
        load(config.data, SIDE)
    with pytest.raises(RequestError, match="records have no box, and a modality reads boxes"):
        train(config, tmp_path / "run", splits=splits)


def test_the_root_of_streamed_data_is_the_mean_of_all_of_them(
    tmp_path: Path, small: SimpleNamespace
) -> None:
    """As of the same data in memory; a sample is said to be one."""
    from geomclip.train.root import update_root, update_root_streamed
    from geomclip.train.world import World

    data = tmp_path / "grit"
    data.mkdir()
    for shard in range(2):
        boxed(data, shard, 40)
    config = boxes_config(data, small, "always")
    config = dataclasses.replace(
        config, geometry="clip", loss=LossConfig(), entailment=0.0, steps=2, checkpoint_every=1
    )
    result = train(config, tmp_path / "run")
    assert result.root == {"records": 80, "of": 80, "bad": 0}
    model = geomclip.load(result.out)
    found = model.geometry.root.clone()
    memory = dataclasses.replace(config.data, stream="never", val_data=str(data))
    update_root(model, load(memory, SIDE).train, World())
    torch.testing.assert_close(model.geometry.root, found, rtol=0, atol=1e-6)
    assert "all 80" in (result.out / "README.md").read_text()

    late = dataclasses.replace(config, data=dataclasses.replace(config.data, root="last"))
    for name, changed, expected in (("run", config, [80, 80]), ("late", late, [32, 80])):
        if name != "run":
            train(changed, tmp_path / name)
        saved = [
            torch.load(path / "state.pt", weights_only=True)["root"]
            for path in checkpoints(tmp_path / name)
        ]
        assert [(root["records"], root["of"]) for root in saved] == [(n, 80) for n in expected]

    # Sources with weights count by them: the same source twice is itself, whatever the weights.
    sources = load(config.data, SIDE).streamed
    update_root_streamed(model, [*sources, *sources], World(), weights=(0.9, 0.1))
    torch.testing.assert_close(model.geometry.root, found, rtol=0, atol=1e-6)


class Bag(nn.Module):
    """Mean of the embeddings of a text's tokens."""

    def __init__(self, words: int, dim: int) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(words, dim)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.embedding(ids)


def bag(config: Any, tokenizer: Any) -> nn.Module:
    return Bag(tokenizer.vocab_size, config.model.embed_dim)


def test_an_encoder_of_ones_own_needs_its_module_imported(
    tmp_path: Path, small: SimpleNamespace, splits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    modalities = {
        "image": ModalityConfig("image"),
        "text": ModalityConfig("caption", encoder="my_towers:bag"),
    }
    config = small.config(geometry="euclip", modalities=modalities, steps=3)
    with pytest.raises(RequestError, match=r"my_towers is not imported\n.*--plugin my_towers"):
        train(config, tmp_path / "none", splits=splits)
    monkeypatch.setitem(sys.modules, "my_towers", SimpleNamespace(bag=bag, other=3))  # type: ignore[misc]
    out = train(config, tmp_path / "run", splits=splits).out
    assert geomclip.load(out).encode_text(["a cat", "a dog"]).shape == (2, DIM)
    monkeypatch.delitem(sys.modules, "my_towers")
    with pytest.raises(RequestError, match="is not imported"):
        geomclip.load(out)


ITEM = {"image": ModalityConfig("image"), "item": ModalityConfig("item")}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modalities": {"image": ModalityConfig("image")}}, "there is 1, and a contrast takes"),
        ({"modalities": {**IMAGE_TEXT, "a-b": ModalityConfig("name")}}, "name is no identifier"),
        (
            {"modalities": {**IMAGE_TEXT, "x": ModalityConfig("name", encoder="vit")}},
            'no encoder "vit"',
        ),
        (
            {"modalities": {**IMAGE_TEXT, "x": ModalityConfig("name", encoder="table")}},
            "a table has no row for a name",
        ),
        (
            {"modalities": {**IMAGE_TEXT, "x": ModalityConfig("name", shares="y")}},
            'shares "y", which is no modality',
        ),
        (
            {"modalities": {**IMAGE_TEXT, "x": ModalityConfig("name", shares="image")}},
            "reads name, and the encoder of image takes pixels",
        ),
        ({"modalities": BOXES}, r"\[modalities.box\] reads a box, and boxes are not read"),
        ({"contrast": ("image:text", "text:image")}, "contrast: a pair is named twice"),
        ({"contrast": ("image:sound",)}, 'contrast: "image:sound" is not two modalities'),
        ({"modalities": THREE, "contrast": ("image:name",)}, "keywords is in no pair"),
        ({"loss": LossConfig(contrastive="gram")}, "three modalities or more, .* have 2"),
        (
            {"modalities": THREE, "loss": LossConfig(contrastive="gram", anchor="x")},
            '"x" is not contrasted',
        ),
        (
            {"modalities": THREE, "loss": LossConfig(contrastive="individual")},
            "kept for one pair of modalities, and there are 3",
        ),
        ({"loss": LossConfig(contrastive="hycoclip")}, "no modality reads box and none phrase"),
        (
            {"modalities": ITEM, "entailment": 0.1},
            "no text is contrasted with a picture",
        ),
        ({"modalities": ITEM, "loss": LossConfig(chains=0.1)}, "labels are texts above a picture"),
        (
            {
                "modalities": THREE,
                "loss": LossConfig(contrastive="angle"),
                "entails": ("name:image",),
            },
            "compares parents with children, and keywords is neither",
        ),
    ],
)
def test_modalities_that_do_not_fit_are_refused(
    small: SimpleNamespace, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        small.config(geometry="meru", **changes)


def test_roles_without_a_word_are_those_of_pictures_and_texts() -> None:
    roles = Roles.of(IMAGE_TEXT)
    assert roles.pairs == (("image", "text"),) and roles.links == (("text", "image"),)
    roles = Roles.of(THREE)
    assert roles.pairs == (("image", "name"), ("image", "keywords"), ("name", "keywords"))
    assert roles.links == (("name", "image"), ("keywords", "image"))
    assert roles.text == "name" and roles.contrasted == ("image", "name", "keywords")
