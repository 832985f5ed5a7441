"""Streamed tars: exact epochs however the work is shared, exact resume, bad records told."""

import logging
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from shards import drawn, numbered, read, settings, shards, stream
from sources import tar

from geomclip.data.config import DataConfig
from geomclip.data.stream import Share, open_stream
from geomclip.errors import GeomclipError, RequestError

# Two workers on one core are slow, and torch warns of it; here they are what is tested.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")

COUNTS = [17, 5, 30, 1, 27]  # 80 records: 5 batches of 16 an epoch


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    return shards(tmp_path_factory.mktemp("shards"), COUNTS)


def test_an_epoch_gives_every_record_once_and_the_next_in_another_order(source):
    batches = stream(settings(source))
    first, second = drawn(batches, 5).ravel(), drawn(batches, 5).ravel()
    assert sorted(first) == sorted(second) == list(range(80))
    assert (first != second).any() and (first != np.arange(80)).any()
    other = drawn(stream(settings(source, seed=1)), 5).ravel()
    assert (other != first).any()


@pytest.mark.parametrize(("world", "workers"), [(1, 2), (2, 0), (2, 2), (4, 0)])
def test_processes_and_workers_change_no_batch(source, world, workers):
    config = settings(source, workers=workers)
    splits, tokenizer = read(config)
    whole = open_stream(settings(source), splits, tokenizer)
    parts = [
        open_stream(config, splits, tokenizer, share=Share(rank, world)) for rank in range(world)
    ]
    try:
        for _ in range(12):  # two epochs and two batches
            batch, shared = whole.next(), [part.next() for part in parts]
            for name in ("image", "text"):
                joined = torch.cat([b.inputs[name] for b in shared])
                assert torch.equal(batch.inputs[name], joined)
            assert torch.equal(batch.index, torch.cat([b.index for b in shared]))
            assert all(part.state_dict() == whole.state_dict() for part in parts)
    finally:
        for part in parts:
            part.close()


def test_augmentation_and_captions_are_the_same_for_every_share(source):
    import dataclasses

    from geomclip.train.config import AugmentConfig, CaptionConfig

    config = dataclasses.replace(
        settings(source), augment=AugmentConfig(flip=0.5), captions=CaptionConfig(template=0.9)
    )
    splits, tokenizer = read(config)
    whole, half = (open_stream(config, splits, tokenizer, share=s) for s in (Share(), Share(1, 2)))
    for _ in range(3):
        batch, rows = whole.next(), half.next()
        for name in ("image", "text"):
            assert torch.equal(batch.inputs[name][8:], rows.inputs[name])


def test_a_state_resumes_exactly_within_an_epoch_with_another_world(source):
    batches = stream(settings(source))
    drawn(batches, 7)
    state = batches.state_dict()
    after = drawn(batches, 9)
    again = stream(settings(source))
    again.load_state_dict(state)
    assert (drawn(again, 9) == after).all()
    config = settings(source, workers=1)
    splits, tokenizer = read(config)
    halves = []
    for rank in range(2):
        half = open_stream(config, splits, tokenizer, share=Share(rank, 2))
        half.load_state_dict(state)
        halves.append(drawn(half, 9))
        half.close()
    assert (np.concatenate(halves, axis=1) == after).all()


def test_a_state_of_other_shards_is_refused(source, tmp_path):
    batches = stream(settings(source))
    other = stream(settings(shards(tmp_path, [40, 41])))
    with pytest.raises(RequestError, match="not those of the checkpoint"):
        other.load_state_dict(batches.state_dict())


def test_resampling_is_reproducible_and_draws_with_replacement(source):
    config = settings(source, resample=True)
    first, again = drawn(stream(config), 20), drawn(stream(config), 20)
    assert (first == again).all()
    epochs = first.reshape(4, 80)
    assert any(len(set(epoch)) < 80 for epoch in epochs)
    assert set(epochs.ravel()) <= set(range(80))


def test_records_that_can_not_be_used_are_replaced_counted_and_named(tmp_path, caplog):
    """One of each kind among 64; a pickle beside them is not even read."""
    marker = tmp_path / "executed"
    evil = f"cos\nsystem\n(S'touch {marker}'\ntR.".encode()
    files: dict[str, bytes] = {}
    for i in range(64):
        files[f"{i:03d}.jpg"] = numbered(i)
        files[f"{i:03d}.txt"] = f"picture {i}".encode()
        files[f"{i:03d}.pkl"] = evil
    files["010.jpg"] = numbered(10, "JPEG")[:300]
    files["020.txt"] = b"caf\xe9"
    files["040.txt"] = b" "
    del files["050.jpg"]
    files["060.json"] = b"{"
    tar(tmp_path / "000.tar", {name: files[name] for name in sorted(files)})
    batches = stream(settings(str(tmp_path / "000.tar"), sample=1))
    with caplog.at_level(logging.WARNING):
        numbers = drawn(batches, 4).ravel()
    assert set(numbers) == set(range(64)) - {10, 20, 40, 50, 60}
    assert batches.take_counts() == {"bad": 5} and batches.take_counts() == {}
    for key in ("010", "020", "040", "050", "060"):
        assert f"{tmp_path}/000.tar: {key}: " in caplog.text
    assert "another record takes its place" in caplog.text
    assert not marker.exists()


def test_a_shard_cut_off_gives_what_is_whole(tmp_path, caplog):
    source = shards(tmp_path, [40, 40])
    path = tmp_path / "001.tar"
    path.write_bytes(path.read_bytes()[: 20 * 2048 + 700])  # within the picture of sample 60
    batches = stream(settings(source, batch_size=8, shuffle=64, sample=1))
    assert "001.tar: unexpected end of data; 21 samples are used" in caplog.text
    seen = set(drawn(batches, 7).ravel())  # 61 records
    assert seen <= set(range(60)) and batches.take_counts().get("bad", 0) <= 1


def test_a_shard_that_vanishes_is_replaced(tmp_path, caplog):
    source = shards(tmp_path, [60, 4])
    batches = stream(settings(source))
    (tmp_path / "001.tar").unlink()
    seen = drawn(batches, 4).ravel()
    assert set(seen) == set(range(60))
    assert batches.take_counts() == {"bad": 4} and "No such file" in caplog.text


def test_data_that_are_mostly_bad_stop_the_run(tmp_path):
    files: dict[str, bytes] = {}
    for i in range(64):
        files[f"{i:03d}.png"] = numbered(i) if i % 4 else b"no picture"
        files[f"{i:03d}.txt"] = b"x"
    tar(tmp_path / "000.tar", files)
    batches = stream(settings(str(tmp_path / "000.tar")))
    with pytest.raises(GeomclipError, match=r"records can't be used, more than --data.max-bad-sh"):
        drawn(batches, 100)
    allowed = stream(settings(str(tmp_path / "000.tar"), max_bad_share=0.3))
    assert set(drawn(allowed, 60).ravel()) == {i for i in range(64) if i % 4}


@pytest.mark.parametrize("workers", [0, 2])
def test_nothing_usable_is_an_error_with_its_reason(tmp_path, workers):
    source = shards(tmp_path, [64])
    config = settings(source, workers=workers)
    splits, tokenizer = read(config)
    files = {f"{i:06d}.{s}": b"x" for i in range(64) for s in ("png", "txt")}
    tar(tmp_path / "000.tar", files)
    batches = open_stream(config, splits, tokenizer)
    with pytest.raises(GeomclipError, match=r"in a row can be used; .*not a picture") as caught:
        batches.next()
    assert "Traceback" not in str(caught.value) and "data check" in caught.value.how
    batches.close()


def test_workers_end_with_the_stream_and_a_dead_one_is_told(source):
    batches = stream(settings(source, workers=2))
    batches.next()
    pids = [w.pid for w in batches._parts._workers]
    batches.close()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    batches = stream(settings(source, workers=1))
    batches.next()
    os.kill(batches._parts._workers[0].pid, 9)
    with pytest.raises(GeomclipError, match=r"a data worker died: .*\n.*--data\.workers"):
        drawn(batches, 50)
    batches.close()


def test_batches_lanes_and_processes_must_fit(source):
    with pytest.raises(RequestError, match=r"larger than the data .*80 records"):
        stream(settings(source, batch_size=96))
    with pytest.raises(RequestError, match=r"data\.lanes 3 does not fit: 16 pairs"):
        stream(settings(source, lanes=3))
    with pytest.raises(RequestError, match=r"data\.lanes 1 does not fit.*3 processes"):
        stream(settings(source, batch_size=15), Share(0, 3))
    assert drawn(stream(settings(source, batch_size=15, lanes=3), Share(0, 3)), 2).shape == (2, 5)


def test_pipes_and_addresses_need_sizes_and_permission(tmp_path):
    shards(tmp_path, [20, 20])
    pipe = f"pipe:cat {tmp_path}/{{000..001}}.tar"
    with pytest.raises(RequestError, match="number of samples behind a pipe is not known"):
        read(settings(pipe, allow_pipe=True))
    with pytest.raises(RequestError, match=r"would run a shell command\n.*allow-pipe"):
        read(settings(pipe))  # said first: sizes alone would not do
    sizes = tmp_path / "sizes.json"
    sizes.write_text('{"000.tar": 20, "001.tar": 20}')
    with pytest.raises(RequestError, match=r"would run a shell command\n.*allow-pipe"):
        read(settings(pipe, sizes=str(sizes)))
    piped = stream(settings(pipe, sizes=str(sizes), allow_pipe=True, workers=1))
    local = drawn(stream(settings(str(tmp_path / "{000..001}.tar"))), 5)
    assert (drawn(piped, 5) == local).all()
    piped.close()
    address = f"file://{tmp_path}/{{000..001}}.tar"
    assert (drawn(stream(settings(address)), 5) == local).all()
    with pytest.raises(RequestError, match="nothing opens ftp://"):
        read(settings("ftp://host/{000..001}.tar", sizes=str(sizes)))


def test_a_sizes_file_that_promises_too_much_is_told(tmp_path, caplog):
    source = shards(tmp_path, [40, 20])
    sizes = tmp_path / "sizes.json"
    sizes.write_text('{"000.tar": 40, "001.tar": 24}')
    batches = stream(settings(source, sizes=str(sizes), sample=1))
    assert set(drawn(batches, 4).ravel()) == set(range(60))
    assert batches.take_counts() == {"bad": 4}
    assert "the shard ends early: it has 20 records" in caplog.text
    sizes.write_text('{"000.tar": 40}')
    with pytest.raises(RequestError, match=r"does not name the shard 001\.tar"):
        read(settings(source, sizes=str(sizes)))


def test_what_is_held_in_memory_is_a_sample(source, tmp_path):
    splits, _ = read(settings(source, sample=20))
    assert splits.pictures == 80 and 10 <= len(splits.train) <= 20
    assert len(set(splits.train.ids)) == len(splits.train)
    whole, _ = read(settings(source))
    assert len(whole.train) == 80 and whole.evaluation == {}
    held, _ = read(settings(source, val_data=shards(tmp_path, [3])))
    assert len(held.evaluation["validation"].pool) == 3


def test_small_local_shards_stay_in_memory_unless_asked(source, monkeypatch):
    auto = DataConfig(source=source)
    from geomclip.data import streaming
    from geomclip.data.sources import load

    assert load(auto, 8).streamed == ()
    monkeypatch.setattr(streaming, "STREAM_ABOVE", 1000)
    assert load(auto, 8).streamed
    with pytest.raises(RequestError, match="resample needs streamed data"):
        load(DataConfig(source=source, stream="never", resample=True), 8)


def test_compressed_tars_are_streamed_too(source, tmp_path):
    pattern = Path(source).parent
    for k in range(2):
        with tarfile.open(tmp_path / f"{k}.tar.gz", "w:gz") as out:
            with tarfile.open(pattern / f"00{k}.tar") as plain:
                for member in plain:
                    out.addfile(member, plain.extractfile(member))
    seen = drawn(stream(settings(str(tmp_path / "{0..1}.tar.gz"), batch_size=11)), 2).ravel()
    assert sorted(seen) == list(range(22))
