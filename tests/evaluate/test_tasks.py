"""Tasks on data sets of a few pictures: which split is asked, what is found, what is written."""

import csv
import io
import json
from pathlib import Path

import pytest
import torch
from sources import COLOURS, png, table, tar

from geomclip.data.config import DataConfig
from geomclip.data.transforms import on_white
from geomclip.errors import RequestError
from geomclip.evaluate.benchmark import benchmark_records, file_name
from geomclip.evaluate.parts import encode_parts
from geomclip.evaluate.tasks import run_tasks

SIX = COLOURS[:6]


def shards(root: Path, split: str, pictures: int) -> None:
    """Picture k has colour k mod 6; classes 0 to 2 in each of two sizes are one class each."""
    files = {}
    for k in range(pictures):
        files[f"s{k:07d}.cls"] = str(k % 6).encode()
        files[f"s{k:07d}.png"] = png(SIX[k % 6], (8 + k // 6, 8))
    (root / split).mkdir(parents=True)
    tar(root / split / "0.tar", files)
    (root / split / "nshards.txt").write_text("1")


@pytest.fixture(scope="module")
def colours(tmp_path_factory) -> Path:
    """CLIP_benchmark's layout: 12 pictures to ask about, 24 to learn from, of six classes."""
    root = tmp_path_factory.mktemp("wds") / "colours"
    shards(root, "test", 12)
    shards(root, "train", 24)
    (root / "classnames.txt").write_text("\n".join(SIX))
    (root / "zeroshot_classification_templates.txt").write_text("a {c} field\n{c}\n")
    return root


def test_classification_of_a_benchmark_folder(colours, untrained):
    model = untrained("meru")
    config = DataConfig(source=str(colours))
    parts = encode_parts(model, config, training=True, batch_size=5)
    assert list(parts.asked) == ["test"] and parts.classes == SIX
    assert (len(parts.asked["test"]), len(parts.training)) == (12, 24)
    results = run_tasks(model, parts, ("zeroshot", "probe", "knn"))
    found = results.splits["test"]
    assert results.templates == ("a {} field", "{}") and results.level == "class"
    # Once more without any of the machinery.
    with torch.no_grad():
        prompts = [[f"a {name} field", name] for name in SIX]
        features = torch.stack([model.text_features(pair) for pair in prompts])
        prototypes = model.geometry.lift(features.mean(1), "text")
        score = model.geometry.score(parts.asked["test"].points, prototypes)
    right = score.argmax(1) == torch.arange(12) % 6
    assert found.zeroshot.accuracy == right.double().mean().item()
    fifth = score.topk(5).indices == (torch.arange(12) % 6)[:, None]
    assert found.zeroshot.top5 == fifth.any(1).double().mean().item()
    # A picture of plain colour is told by its neighbours and by a linear probe.
    assert found.knn.by_k[1].accuracy == 1 and found.knn.training == 24
    assert found.probe.found.accuracy == 1 and found.probe.validating == 6
    assert {row[0] for row in found.numbers()} >= {"zeroshot_acc5", "knn5_acc1", "probe_class_mean"}


def test_records_are_what_clip_benchmark_joins_to_a_table(colours, untrained):
    model = untrained("clip")
    parts = encode_parts(model, DataConfig(source=str(colours)), training=True)
    results = run_tasks(model, parts, ("zeroshot", "probe", "knn"))
    records = benchmark_records(model="clip", pretrained="runs/clip", tasks=results)
    assert [set(r) for r in records] == [
        {"dataset", "model", "pretrained", "task", "metrics", "language"}
    ] * 3
    # Its table: the metrics and the other keys in one row, a csv of the rows.
    rows = [json.loads(json.dumps(r["metrics"] | {k: v for k, v in r.items() if k != "metrics"}))
            for r in records]  # fmt: skip
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(k for row in rows for k in row)))
    writer.writeheader()
    writer.writerows(rows)
    first, second, _ = csv.DictReader(io.StringIO(out.getvalue()))
    assert float(first["acc1"]) == results.splits["test"].zeroshot.accuracy
    assert (first["task"], second["task"]) == ("zeroshot_classification", "linear_probe")
    assert float(second["lp_mean_per_class_recall"]) == 1
    assert file_name(records[0]) == "colours_clip_clip_en_zeroshot_classification.json"


@pytest.fixture
def karpathy(tmp_path) -> Path:
    """dataset.json of six pictures: two to train, one to validate, three to test."""
    images = []
    for i, split in enumerate(("train", "restval", "val", "test", "test", "test")):
        (tmp_path / f"{i}.png").write_bytes(png(COLOURS[i]))
        words = [f"a {COLOURS[i]} thing {n}" for n in range(6)]
        words[1] = words[0] if i == 3 else words[1]
        sentences = [{"raw": text} for text in words]
        images.append({"filename": f"{i}.png", "split": split, "sentences": sentences, "imgid": i})
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps({"images": images}))
    return path


def test_retrieval_asks_karpathys_test_split_with_five_captions(karpathy, untrained):
    model = untrained("euclip")
    parts = encode_parts(model, DataConfig(source=str(karpathy)))
    assert list(parts.asked) == ["test"] and parts.training is None
    found = run_tasks(model, parts, ("retrieval",)).splits["test"]
    result = found.retrieval["all"]
    assert (result.pictures, result.captions, found.shared_captions) == (3, 15, 0)
    texts = [
        [f"a {c} thing {0 if c == 'white' and n == 1 else n}" for n in range(5)]
        for c in COLOURS[3:6]
    ]
    with torch.no_grad():
        points = model.encode_text([t for five in texts for t in five])
        pixels = torch.zeros(3, 4, 16, 16, dtype=torch.uint8)
        pixels[:, 3] = 255
        pixels[0, :3] = 255
        pixels[2, :3] = torch.tensor([255, 165, 0])[:, None, None]
        score = model.geometry.score(model.encode_image(on_white(pixels)), points)
    owner = torch.arange(15) // 5
    hits = (owner[score.argmax(1)] == torch.arange(3)).double().mean().item()
    assert result.recall["i2t_r1"].value == hits
    back = (score.argmax(0) == owner).double().mean().item()
    assert result.recall["t2i_r1"].value == back
    records = benchmark_records(
        model="euclip", pretrained="x.pt", tasks=run_tasks(model, parts, ("retrieval",), fold=1)
    )
    assert [r["task"] for r in records] == ["zeroshot_retrieval", "zeroshot_retrieval_3_folds"]
    metrics = records[0]["metrics"]
    assert metrics["text_retrieval_recall@1"] == hits
    assert metrics["image_retrieval_recall@1"] == back


def test_pictures_of_other_splits_need_not_be_there(karpathy, untrained):
    (karpathy.parent / "0.png").unlink()
    model = untrained("euclip")
    parts = encode_parts(model, DataConfig(source=str(karpathy)))
    assert not parts.bad and len(parts.asked["test"]) == 3
    val = encode_parts(model, DataConfig(source=str(karpathy)), split="val")
    assert list(val.asked) == ["val"] and len(val.asked["val"]) == 1
    everything = encode_parts(model, DataConfig(source=str(karpathy), skip_bad=True), split="all")
    assert len(everything.asked["all"]) == 5 and len(everything.bad) == 1


def test_pictures_that_do_not_open_are_counted(karpathy, untrained):
    for i in (3, 5):
        (karpathy.parent / f"{i}.png").write_bytes(b"no picture")
    model = untrained("euclip")
    with pytest.raises(RequestError, match=r"not a picture(.|\n)*2 of 3 rows are bad"):
        encode_parts(model, DataConfig(source=str(karpathy)))
    parts = encode_parts(model, DataConfig(source=str(karpathy), skip_bad=True))
    assert len(parts.asked["test"]) == 1 and len(parts.bad) == 2


@pytest.fixture
def labelled(tmp_path) -> DataConfig:
    """30 pictures in ten colours with a label path of two levels, and no splits."""
    rows = [["filepath", "title", "group", "colour"]]
    for i in range(30):
        (tmp_path / f"{i}.png").write_bytes(png(COLOURS[i % 10], (8 + i // 10, 8)))
        group = "" if i % 10 == 9 else "warm" if i % 2 else "cold"
        rows.append([f"{i}.png", "", group or "none", COLOURS[i % 10]])
    path = table(tmp_path / "t.csv", rows)
    return DataConfig(
        source=str(path),
        label_columns=("group", "colour"),
        val_fraction=0.4,
        caption_column="title",
    )


def test_data_without_splits_are_held_out_by_hash_and_a_level_chosen(labelled, untrained):
    model = untrained("clip")
    try:
        parts = encode_parts(model, labelled, training=True)
    except RequestError:
        parts = encode_parts(model, DataConfig(**vars(labelled) | {"caption_column": "colour"}),
                             training=True)  # fmt: skip
    asked = parts.asked["held_out"]
    assert 0 < len(asked) < 30 and len(asked) + len(parts.training) == 30
    group = run_tasks(model, parts, ("zeroshot", "knn"), level="group", templates=("{}",))
    assert sorted(group.classes) == ["cold", "none", "warm"] and group.level == "group"
    assert group.splits["held_out"].zeroshot.top5 is None
    assert len(run_tasks(model, parts, ("knn",)).classes) == 10
    with pytest.raises(RequestError, match=r'have no "size"(.|\n)*group, colour'):
        run_tasks(model, parts, ("knn",), level="size")


def test_requests_that_the_data_can_not_answer(karpathy, colours, untrained):
    model = untrained("euclip")
    captioned = encode_parts(model, DataConfig(source=str(karpathy)))
    with pytest.raises(RequestError, match="dataset has no labels"):
        run_tasks(model, captioned, ("zeroshot",))
    with pytest.raises(RequestError, match=r'has no split "val" \(it has: test, train\)'):
        encode_parts(model, DataConfig(source=str(colours)), split="val")
    with pytest.raises(RequestError, match="leaves no picture to learn from"):
        encode_parts(model, DataConfig(source=str(colours)), split="all", training=True)
    with pytest.raises(RequestError, match="there is no task recall"):
        run_tasks(model, captioned, ("recall",))
