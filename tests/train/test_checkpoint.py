"""Checkpoints: complete, bounded in number, refused when they do not fit."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from geomclip.errors import RequestError
from geomclip.train import train
from geomclip.train.checkpoint import checkpoints, load_weights
from geomclip.train.run import load_run


def test_the_newest_are_kept(reference: Any) -> None:
    assert [p.name for p in checkpoints(reference.out)] == ["step-000020", "step-000030"]
    assert sorted(p.name for p in (reference.out / "checkpoints").iterdir()) == [
        "step-000020",
        "step-000030",
    ]


def test_state_is_read_without_running_code(reference: Any) -> None:
    path = checkpoints(reference.out)[-1] / "state.pt"
    state = torch.load(path, weights_only=True)
    assert state["step"] == 30
    assert set(state["optimizer"]) == {"state", "param_groups"}


def test_the_last_checkpoint_is_the_finished_model(
    reference: Any, weights: Callable[..., Any], same: Callable[..., bool]
) -> None:
    assert same(weights(reference.out), weights(checkpoints(reference.out)[-1]))


@pytest.fixture
def parts(reference: Any, weights: Callable[..., Any]) -> SimpleNamespace:
    model = load_run(reference.out)
    return SimpleNamespace(model=model, tensors=weights(reference.out))


def refused(tmp_path: Path, parts: SimpleNamespace, match: str) -> None:
    save_file(parts.tensors, tmp_path / "model.safetensors")
    before = {name: t.clone() for name, t in parts.model.state_dict().items()}
    with pytest.raises(RequestError, match=match):
        load_weights(tmp_path / "model.safetensors", parts.model)
    after = parts.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_tensor_of_another_shape_is_named(tmp_path: Path, parts: SimpleNamespace) -> None:
    parts.tensors["encoders.text.text_projection"] = torch.zeros(32, 8)
    match = r"encoders\.text\.text_projection has shape \(32, 8\), expected \(32, 16\)"
    refused(tmp_path, parts, match)


def test_a_missing_tensor_is_named(tmp_path: Path, parts: SimpleNamespace) -> None:
    del parts.tensors["geometry.logit_scale"]
    refused(tmp_path, parts, r"no tensor geometry\.logit_scale \(\)")


def test_an_unknown_tensor_is_named(tmp_path: Path, parts: SimpleNamespace) -> None:
    parts.tensors["encoders.audio.proj"] = torch.zeros(1)
    refused(tmp_path, parts, r"the model lacks: encoders\.audio\.proj")


def test_another_dtype_is_named(tmp_path: Path, parts: SimpleNamespace) -> None:
    parts.tensors["geometry.logit_scale"] = parts.tensors["geometry.logit_scale"].double()
    refused(tmp_path, parts, r"geometry\.logit_scale is torch\.float64, expected torch\.float32")


def test_a_damaged_file_is_refused(tmp_path: Path, parts: SimpleNamespace, reference: Any) -> None:
    data = (reference.out / "model.safetensors").read_bytes()
    (tmp_path / "cut").write_bytes(data[: len(data) // 2])
    with pytest.raises(RequestError, match="not readable as safetensors"):
        load_weights(tmp_path / "cut", parts.model)
    with pytest.raises(RequestError, match="no such file"):
        load_weights(tmp_path / "absent", parts.model)


def test_a_damaged_state_is_refused_with_the_way_out(
    tmp_path: Path, reference: Any, small: SimpleNamespace, splits: Any, settings: dict[str, Any]
) -> None:
    out = tmp_path / "run"
    shutil.copytree(reference.out, out)
    (out / "finished.json").unlink()
    (checkpoints(out)[-1] / "state.pt").write_bytes(b"not a zip file")
    with pytest.raises(
        RequestError, match=r"step-000030.state\.pt is not readable.*\n.*the one befo"
    ):
        train(small.config(**settings), out, resume=True, splits=splits)
