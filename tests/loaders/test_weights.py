"""Reading weights runs no code, and says in one line what is wrong with a file."""

import argparse
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from published import meru_state, open_clip_state
from safetensors.torch import save_file

import geomclip
from geomclip.errors import RequestError
from geomclip.loaders.layouts import LAYOUTS
from geomclip.loaders.weights import read_weights

WEIGHTS = {"module.a.weight": torch.arange(6.0).view(2, 3)}


class Hostile:
    """What a pickle can ask its reader to do."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.trace}",)


def refusal(path: Path) -> RequestError:
    with pytest.raises(RequestError) as caught:
        geomclip.load(path)
    assert caught.value.what.startswith(str(path)) and "\n" not in caught.value.what
    assert caught.value.how and "\n" not in caught.value.how
    return caught.value


@pytest.mark.parametrize("form", ["zip", "legacy", "bare 2", "bare 5"])
@pytest.mark.parametrize("place", ["beside the weights", "among them"])
def test_a_pickle_that_wants_to_run_code_is_refused_and_does_not(tmp_path, form, place):
    path, trace = tmp_path / "evil.pt", tmp_path / "ran"
    attack = Hostile(trace)
    state = dict(WEIGHTS) | ({"b": attack} if place == "among them" else {})
    values = {"state_dict": state} | ({"extra": attack} if place != "among them" else {})
    if form.startswith("bare"):
        path.write_bytes(pickle.dumps({"model": attack}, protocol=int(form[-1])))
    else:
        torch.save(values, path, _use_new_zipfile_serialization=form == "zip")
    error = refusal(path)
    assert not trace.exists()
    if form == "zip":
        assert "asks to call posix.system, which is code, not weights; refused" in error.what
    else:
        assert "holds more than weights, and none of it was run" in error.what
    if form.startswith("bare"):  # the attack is real: an ordinary reader runs it
        pickle.loads(path.read_bytes())
        assert trace.exists()


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_the_numbers_of_a_training_checkpoint_are_read(tmp_path, form):
    groups = [np.float64(5e-4), np.float32(0.5), np.int64(-3), np.bool_(True), np.uint8(200)]
    values = {"epoch": 3, "state_dict": WEIGHTS, "optimizer": {"param_groups": groups}}
    torch.save(values, tmp_path / "e.pt", _use_new_zipfile_serialization=form == "zip")
    found = read_weights(tmp_path / "e.pt")
    assert found.container == "state_dict"
    assert list(found.tensors) == ["a.weight"]
    assert torch.equal(found.tensors["a.weight"], WEIGHTS["module.a.weight"])


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (np.zeros(3), "multiarray._reconstruct"),  # in numpy.core, or numpy._core since 2.0
        (argparse.Namespace(lr=1), "argparse.Namespace"),
        (np.str_("abc"), "dtype 'U3' is no plain number"),
        (np.datetime64("2024-09-20"), "dtype 'M8' is no plain number"),
    ],
    ids=lambda v: type(v).__name__,
)
def test_anything_but_tensors_and_numbers_is_refused_by_name(tmp_path, value, named):
    torch.save({"state_dict": WEIGHTS, "extra": value}, tmp_path / "e.pt")
    assert named in refusal(tmp_path / "e.pt").what


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_files_that_are_no_checkpoints(tmp_path):
    def written(name: str, data: bytes) -> Path:
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    assert "not readable as a checkpoint" in refusal(written("a.pt", b"hello")).what
    assert "not readable as a checkpoint" in refusal(written("b.pt", b"")).what
    assert "not readable as safetensors" in refusal(written("c.safetensors", b"hello")).what
    assert "is no kind of weights that is read" in refusal(written("d.onnx", b"")).what
    torch.save(torch.ones(2), tmp_path / "e.pt")
    assert "holds a Tensor, no dict of tensors" in refusal(tmp_path / "e.pt").what
    torch.save({"epoch": 3}, tmp_path / "f.pt")
    assert "holds no tensors (its entries: epoch)" in refusal(tmp_path / "f.pt").what
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "g.pt"))
    assert "is a TorchScript program, which holds code" in refusal(tmp_path / "g.pt").what
    cut = (tmp_path / "f.pt").read_bytes()[:-100]
    assert "not readable as a checkpoint" in refusal(written("h.pt", cut)).what


def test_an_unknown_layout_lists_the_layouts_and_what_each_lacks(tmp_path):
    save_file({"encoder.weight": torch.ones(2), "head": torch.ones(2)}, tmp_path / "m.safetensors")
    error = refusal(tmp_path / "m.safetensors")
    assert "2 tensors of no known layout (they begin with encoder.weight, head)" in error.what
    for layout in LAYOUTS:
        assert f"{layout.name} needs {layout.needs[0]}" in error.what
    # One tensor short of a layout: the one that is missing is the one that is named.
    state = {n: t for n, t in meru_state().items() if n != "textual_proj.weight"}
    torch.save({"model": state}, tmp_path / "m.pt")
    assert "UNCHA) needs textual_proj.weight*;" in refusal(tmp_path / "m.pt").what


def test_every_layout_is_detected_as_itself_alone():
    for state, name in ((open_clip_state(), "open_clip"), (meru_state(), "MERU")):
        assert next(x.name for x in LAYOUTS if x.detect(state)).startswith(name)
        assert sum(layout.detect(state) for layout in LAYOUTS) == 1


def test_a_hubs_name_is_no_download(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RequestError, match="is no path on this machine, and nothing is downloaded"):
        geomclip.load("openai/clip-vit-base-patch32")


def test_a_folder_of_several_files_is_asked_which(tmp_path):
    save_file({"a": torch.ones(1)}, tmp_path / "one.safetensors")
    save_file({"a": torch.ones(1)}, tmp_path / "two.safetensors")
    assert "several files with weights: one.safetensors, two" in refusal(tmp_path).what


def test_shards_stay_in_their_folder_and_are_complete(tmp_path):
    index = tmp_path / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "../one.safetensors"}}')
    with pytest.raises(RequestError, match="lies outside its folder"):
        geomclip.load(tmp_path)
    save_file({"a": torch.ones(1)}, tmp_path / "one.safetensors")
    index.write_text('{"weight_map": {"a": "one.safetensors", "b": "one.safetensors"}}')
    with pytest.raises(RequestError, match=r"no tensor b \(1 are missing\)"):
        geomclip.load(tmp_path)
