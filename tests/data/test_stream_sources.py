"""Several sources, tables and folders streamed: weights, exactness, and what is told."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from shards import drawn, numbered, numbers, parquet, read, settings, shards, stream

from geomclip.data.stream import Share
from geomclip.errors import RequestError

# Two workers on one core are slow, and torch warns of it; here they are what is tested.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two sources: records 0 to 59, and 100 to 119."""
    folder = tmp_path_factory.mktemp("pair")
    first = shards(folder / "first", [40, 20])
    return f"{first}::{shards(folder / 'second', [20], first=100)}"


def test_several_sources_without_weights_are_one(pair):
    batches = stream(settings(pair))
    for _ in range(2):
        assert sorted(drawn(batches, 5).ravel()) == [*range(60), *range(100, 120)]
    assert batches.take_counts() == {}


def test_weights_set_the_shares_and_every_source_goes_its_own_epochs(pair):
    batches = stream(settings(pair, weights=(1.0, 3.0)))
    found = drawn(batches, 100)
    second = found >= 100
    # Five standard errors of a binomial of 1,600 draws.
    assert abs(second.mean() - 0.75) < 5 * np.sqrt(0.75 * 0.25 / 1600)
    counts = batches.take_counts()
    assert counts == {"from/first": int((~second).sum()), "from/second": int(second.sum())}
    # Lanes of 60 / 16 records leave some out of an epoch: but each record is seen about equally.
    times = np.bincount(found[second] - 100, minlength=20)
    assert times.min() > 0.5 * times.mean() and times.max() < 1.5 * times.mean()


def test_weighted_sources_resume_exactly_with_another_world(pair):
    config = settings(pair, weights=(1.0, 3.0))
    batches = stream(config)
    drawn(batches, 9)
    state, after = batches.state_dict(), drawn(batches, 6)
    halves = []
    for rank in range(2):
        half = stream(config, Share(rank, 2))
        half.load_state_dict(state)
        halves.append(drawn(half, 6))
        assert half.state_dict() == batches.state_dict()
    assert (np.concatenate(halves, axis=1) == after).all()


def test_weights_must_fit_the_sources(pair):
    with pytest.raises(RequestError, match=r"weights has 3 entries for 2 sources\n.*--data-weigh"):
        settings(pair, weights=(1.0, 1.0, 1.0))
    with pytest.raises(RequestError, match="weights must be positive, got 1, 0"):
        settings(pair, weights=(1.0, 0.0))
    with pytest.raises(RequestError, match="weights needs streamed data"):
        read(settings(pair, weights=(1.0, 1.0), stream="never"))
    with pytest.raises(RequestError, match="has an empty part"):
        settings("a.tar::")
    with pytest.raises(RequestError, match="not mixed with others"):
        read(settings(f"{pair}::emoji"))


def test_a_table_is_streamed_in_a_full_shuffle(tmp_path):
    rows = []
    for i in range(48):
        (tmp_path / f"{i}.png").write_bytes(numbered(i))
        rows.append([f"{i}.png", f"picture {i}", "val" if i >= 40 else "train"])
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["filepath", "title", "split"], *rows])
    batches = stream(settings(str(tmp_path / "t.csv"), batch_size=8))
    epoch = drawn(batches, 5).ravel()
    assert sorted(epoch) == list(range(40))  # not the rows of another split
    assert np.abs(np.diff(epoch)).mean() > 5


def test_parquet_is_streamed_by_row_groups(tmp_path):
    for part in range(2):
        rows = [
            {"image": numbered(i), "caption": f"picture {i}"}
            for i in range(20 * part, 20 * part + 20)
        ]
        parquet(tmp_path / f"{part}.parquet", rows, group=6)
    pattern = str(tmp_path / "{0..1}.parquet")
    batches = stream(settings(pattern, batch_size=8, workers=1))
    for _ in range(2):
        assert sorted(drawn(batches, 5).ravel()) == list(range(40))
    state, after = batches.state_dict(), drawn(batches, 3)
    batches.close()
    again = stream(settings(str(tmp_path), batch_size=8))
    again.load_state_dict(state)
    assert (drawn(again, 3) == after).all()


def test_bad_rows_of_a_streamed_parquet_are_named_by_row(tmp_path, caplog):
    rows = [{"image": numbered(i), "caption": f"picture {i}"} for i in range(32)]
    rows[5]["image"] = b"no picture"
    rows[9]["caption"] = ""
    path = parquet(tmp_path / "t.parquet", rows)
    batches = stream(settings(str(path), sample=1))
    assert set(drawn(batches, 2).ravel()) == set(range(32)) - {5, 9}
    assert batches.take_counts() == {"bad": 2}
    assert f"{path} row 5: not a picture" in caplog.text and f"{path} row 9" in caplog.text


def test_a_parquet_with_splits_is_not_streamed(tmp_path):
    rows = [{"image": numbered(i), "caption": "x", "split": "train"} for i in range(32)]
    path = parquet(tmp_path / "t.parquet", rows)
    with pytest.raises(RequestError, match=r'column "split".*\n.*--data\.stream never'):
        read(settings(str(path)))


def test_all_captions_of_a_record_are_drawn(tmp_path):
    rows = [{"image": numbered(i), "captions": [f"a {i}", f"b {i}", f"c {i}"]} for i in range(16)]
    path = parquet(tmp_path / "t.parquet", rows)
    config = settings(str(path))
    batches = stream(config)
    _, tokenizer = read(config)
    seen: dict[int, set[str]] = {}
    for _ in range(40):
        batch = batches.next()
        for number, ids in zip(numbers(batch.inputs["image"]), batch.inputs["text"], strict=True):
            seen.setdefault(number, set()).add(tokenizer.decode(ids.tolist()).replace(" ", ""))
    assert seen == {i: {f"a{i}", f"b{i}", f"c{i}"} for i in range(16)}


def test_the_same_records_in_memory_and_streamed_have_the_same_pictures(tmp_path):
    source = shards(tmp_path, [32])
    memory = stream(settings(source, stream="never", val_fraction=0.2))
    streamed = stream(settings(source))
    found = [
        dict(zip(numbers(pixels), pixels, strict=True))
        for pixels in (
            memory.next().inputs["image"],
            torch.cat([streamed.next().inputs["image"] for _ in range(2)]),
        )
    ]
    assert len(found[0]) == 16 and len(found[1]) == 32
    assert all(torch.equal(pixels, found[1][number]) for number, pixels in found[0].items())


def test_the_folder_of_a_parquet_is_found_without_its_suffix(tmp_path):
    assert not list(Path(tmp_path).iterdir())
    parquet(tmp_path / "t.parquet", [{"image": numbered(1), "caption": "x"}])
    splits, _ = read(settings(str(tmp_path), sample=5))
    assert splits.pictures == 1


def test_label_paths_come_with_their_pictures_streamed_or_not(tmp_path):
    rows = []
    for i in range(48):
        (tmp_path / f"{i}.png").write_bytes(numbered(i))
        rows.append(
            [f"{i}.png", f"picture {i}", "even" if i % 2 == 0 else "odd", f"tens {i // 10}"]
        )
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["filepath", "title", "kind", "decade"], *rows])
    source, labels = str(tmp_path / "t.csv"), ("kind", "decade")
    for options in ({"workers": 2}, {"stream": "never"}):
        batches = stream(settings(source, batch_size=8, label_columns=labels, **options))
        for _ in range(3):
            batch = batches.next()
            expected = [
                ("even" if i % 2 == 0 else "odd", f"tens {i // 10}")
                for i in numbers(batch.inputs["image"])
            ]
            assert [tuple(path[:2]) for path in batch.paths] == expected
        batches.close()
