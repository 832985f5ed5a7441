"""Real runs of every loss that the trainer offers: it falls, it is logged, it resumes exactly."""

import dataclasses
import math
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import shards
import torch

from geomclip.errors import Interrupted, RequestError
from geomclip.losses.table import LOSSES
from geomclip.train import train
from geomclip.train.checkpoint import checkpoints
from geomclip.train.config import LossConfig, from_toml
from geomclip.train.log import TIMING, read_metrics

RUNS: dict[str, tuple[str, LossConfig]] = {
    "sigmoid": ("clip", LossConfig(contrastive="sigmoid")),
    "sigmoid-relative": ("euclip", LossConfig(contrastive="sigmoid", bias_form="relative")),
    "supcon": ("hyperbolic", LossConfig(contrastive="supcon", levels=(0.5, 1.0, 1.0))),
    "individual": ("clip", LossConfig(contrastive="individual")),
    "angle": ("meru", LossConfig(contrastive="angle")),
    "cuaxu": (
        "clip",
        LossConfig(alignment=1.0, uniformity=1.0, cross_uniformity=1.0, metric="chord"),
    ),
    "chains": ("meru", LossConfig(chains=1.0, links="all")),
}
# Every other loss of pairs by its name alone; InfoNCE stands in most runs above.
ELSEWHERE = {"boxes", "third modality"}
RUNS |= {
    name: ("meru", LossConfig(contrastive=name))  # type: ignore[arg-type]
    for name, row in LOSSES.items()
    if row.contrastive and row.term and not ELSEWHERE & set(row.needs)
    if name not in {loss.contrastive for _, loss in RUNS.values()}
}


def untimed(out: Path) -> list[dict[str, Any]]:
    records = read_metrics(out / "metrics.jsonl")
    return [{k: v for k, v in record.items() if k not in TIMING} for record in records]


@pytest.mark.parametrize("name", RUNS)
def test_every_loss_falls(tmp_path: Path, small: SimpleNamespace, splits: Any, name: str) -> None:
    geometry, loss = RUNS[name]
    subset = dataclasses.replace(splits, train=splits.train.subset(range(32)))
    config = small.config(
        geometry=geometry, loss=loss, steps=18, log_every=2, batch_size=32, lr=1e-2, warmup=0.0
    )
    train(config, tmp_path / "run", splits=subset)
    records = read_metrics(tmp_path / "run" / "metrics.jsonl")
    for record in records:
        assert math.isfinite(record["loss"]) and math.isfinite(record["grad_norm"])
    first = sum(r["loss"] for r in records[:3]) / 3
    last = sum(r["loss"] for r in records[-3:]) / 3
    assert last < first
    learned = {"sigmoid": ["sigmoid_bias"], "individual": ["tau_x", "tau_y"]}
    for key in learned.get(loss.contrastive, []):
        assert records[0][key] != records[-1][key]
    parts = records[-1].get("losses", {})
    terms = {"alignment", "uniformity", "cross_uniformity", "chains"}
    assert set(parts) & terms == {t for t in terms if getattr(loss, t) > 0}
    total = records[-1]["contrastive"] + sum(
        getattr(loss, t) * parts[t] for t in set(parts) & terms
    )
    assert records[-1]["loss"] == pytest.approx(total, rel=1e-5)
    if loss.contrastive == "supcon":  # 32 emoji: no group is alone, every name is
        assert parts["lonely_level_1"] < 1 and parts["lonely_level_3"] == 1
    card = (tmp_path / "run" / "README.md").read_text(encoding="utf-8")
    words = {
        "sigmoid": "the sigmoid loss",
        "cuaxu": "symmetric InfoNCE + 1 alignment + 1 uniformity",
    }
    assert words.get(name, "trained with") in card
    assert from_toml(tmp_path / "run" / "config.toml") == config


@pytest.mark.parametrize("name", ["sigmoid-relative", "individual"])
def test_a_loss_with_a_state_resumes_exactly(
    tmp_path: Path, small: SimpleNamespace, splits: Any, name: str,
    weights: Callable[..., Any], same: Callable[..., bool],
) -> None:  # fmt: skip
    geometry, loss = RUNS[name]
    config = small.config(geometry=geometry, loss=loss, steps=16, checkpoint_every=100)
    train(config, tmp_path / "whole", splits=splits)

    def stop(record: dict[str, Any]) -> None:
        if record["step"] == 8:
            signal.raise_signal(signal.SIGTERM)

    out = tmp_path / "stopped"
    with pytest.raises(Interrupted):
        train(config, out, splits=splits, progress=stop)
    train(config, out, splits=splits, resume=True)
    assert same(weights(out), weights(tmp_path / "whole"))
    assert untimed(out) == untimed(tmp_path / "whole")
    states = [
        torch.load(checkpoints(run)[-1] / "state.pt", weights_only=True)["losses"]
        for run in (out, tmp_path / "whole")
    ]
    assert states[0] and same(*states)


def test_labels_that_the_data_have_not_are_refused_before_anything_is_written(
    tmp_path: Path, small: SimpleNamespace, splits: Any
) -> None:
    bare = dataclasses.replace(
        splits, train=dataclasses.replace(splits.train, paths=[()] * len(splits.train))
    )
    for loss in (LossConfig(contrastive="supcon"), LossConfig(chains=0.1)):
        with pytest.raises(RequestError, match="ask for label paths of at least 1 levels"):
            train(small.config(geometry="meru", loss=loss), tmp_path / "run", splits=bare)
    with pytest.raises(RequestError, match="at least 4 levels; those of emoji-64 have 3"):
        loss = LossConfig(contrastive="supcon", levels=(1.0, 1.0, 1.0, 1.0))
        train(small.config(loss=loss), tmp_path / "run", splits=splits)
    assert not (tmp_path / "run").exists()


def test_streamed_data_give_label_paths_but_no_items(
    tmp_path: Path, small: SimpleNamespace
) -> None:
    rows = ["filepath,title,kind,decade"]
    for i in range(32):
        (tmp_path / f"{i}.png").write_bytes(shards.numbered(i))
        rows.append(f"{i}.png,picture {i},{'odd' if i % 2 else 'even'},tens {i // 10}")
    (tmp_path / "t.csv").write_text("\n".join(rows), encoding="utf-8")
    config = shards.settings(
        str(tmp_path / "t.csv"), batch_size=8, label_columns=("kind", "decade")
    )
    changes = {"steps": 3, "log_every": 1, "geometry": "meru"}
    loss = LossConfig(contrastive="supcon", levels=(1.0, 1.0), chains=0.5)
    train(dataclasses.replace(config, loss=loss, **changes), tmp_path / "run")
    for record in read_metrics(tmp_path / "run" / "metrics.jsonl"):
        assert record["losses"]["chains"] > 0
        assert record["losses"]["lonely_level_1"] < 1
    loss = LossConfig(contrastive="individual")
    with pytest.raises(RequestError, match="is streamed, and its records have no numbers"):
        train(dataclasses.replace(config, loss=loss, **changes), tmp_path / "other")
