"""Tensors out of checkpoint files, and nothing else: a file of weights must not run code.

`.safetensors` hold tensors alone. Pickles (`.pt .pth .bin`) go through torch's weights-only
unpickler, which calls nothing but what it is told of; the one thing that is added here are the
numpy numbers that training checkpoints keep among the optimiser's settings.
"""

import json
import pickle
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geomclip.errors import RequestError

PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".tar")
SAFETENSORS = ".safetensors"

_RESAVE = (
    "Where you trust the file, write its weights alone: torch.save({'state_dict': weights}, NEW), "
    "or safetensors."
)


@dataclass(frozen=True)
class Weights:
    """What a checkpoint file holds.

    Args:
        tensors: by their names in the file, without the prefixes of parallel training.
        container: the entry of the pickled dict they were in ("model", "state_dict"), or "".
        extras: the tensors beside that entry.
    """

    tensors: dict[str, Tensor]
    container: str = ""
    extras: dict[str, Tensor] = field(default_factory=dict)


def read_weights(path: Path) -> Weights:
    """The tensors of one file, or of the shards that an `.index.json` names.

    Raises:
        RequestError: the file is missing, damaged or of another kind, or would run code.
    """
    if path.name.endswith(".index.json"):
        return Weights(_sharded(path))
    if path.suffix == SAFETENSORS:
        return Weights(_tensors(_safetensors(path)))
    if path.suffix in PICKLES:
        return _contained(path, _unpickle(path))
    raise RequestError(
        f"{path}: {path.suffix or 'a file without a suffix'} is no kind of weights that is read",
        f"Known are {SAFETENSORS}, {', '.join(PICKLES)}.",
    )


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except FileNotFoundError:
        raise RequestError(f"{path}: there is no such file", "Check the path.") from None
    except (SafetensorError, OSError) as error:
        raise RequestError(
            f"{path} is not readable as safetensors: {error}", "Copy it again."
        ) from None


def _sharded(path: Path) -> dict[str, Tensor]:
    """Hugging Face's index: {"weight_map": {tensor: file}}."""
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        names = sorted({str(name) for name in files.values()})
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise RequestError(
            f"{path}: no index of shards ({type(error).__name__}: {error})", "Copy it again."
        ) from None
    tensors: dict[str, Tensor] = {}
    for name in names:
        if Path(name).name != name:
            raise RequestError(f"{path}: shard {name!r} lies outside its folder", "Copy it again.")
        tensors |= read_weights(path.parent / name).tensors
    if missing := sorted(set(files) - set(tensors)):
        raise RequestError(
            f"{path}: its shards have no tensor {missing[0]} ({len(missing)} are missing)",
            "Copy all shards.",
        )
    return tensors


def _unpickle(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals(_numpy_numbers()), warnings.catch_warnings():
            # torch warns of pickle protocols and TorchScript before it refuses them.
            warnings.simplefilter("ignore")
            try:
                # Mapped, so that an optimiser's moments, twice the weights, are never read.
                return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            except RuntimeError as error:
                if "mmap can only be used with files saved with" not in str(error):
                    raise
                return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise RequestError(f"{path}: there is no such file", "Check the path.") from None
    except pickle.UnpicklingError as error:
        raise RequestError(*_refusal(path, error)) from None
    # torch.load raises half a dozen kinds for a damaged file, and explains none to a user.
    except Exception as error:
        if "TorchScript" in str(error):
            raise RequestError(
                f"{path} is a TorchScript program, which holds code; only weights are read",
                "Take the same weights from open_clip or Hugging Face.",
            ) from None
        raise RequestError(
            f"{path} is not readable as a checkpoint ({type(error).__name__})", "Copy it again."
        ) from error


def _refusal(path: Path, error: Exception) -> tuple[str, str]:
    """The two lines about a pickle that asks for more than tensors; nothing of it has been run."""
    try:
        wanted = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:
        wanted = []
    wanted = [name for name in wanted if name not in _NAMES]
    if not wanted:
        why = str(error).partition("WeightsUnpickler error:")[2] or str(error)
        why = why.strip().partition("\n")[0]
        return f"{path} holds more than weights, and none of it was run: {why}", _RESAVE
    return (
        f"{path} asks to call {', '.join(wanted[:3])}, which is code, not weights; refused",
        _RESAVE,
    )


def _contained(path: Path, loaded: Any) -> Weights:
    """The state dict in a training checkpoint's dict, or the dict itself."""
    if not isinstance(loaded, Mapping):
        raise RequestError(f"{path} holds a {type(loaded).__name__}, no dict of tensors", _RESAVE)
    for name in ("state_dict", "model"):
        if isinstance(inner := loaded.get(name), Mapping) and _tensors(inner):
            return Weights(_tensors(inner), name, _tensors(loaded))
    tensors = _tensors(loaded)
    if not tensors:
        raise RequestError(
            f"{path} holds no tensors (its entries: {', '.join(map(str, list(loaded)[:8]))})",
            "Give the file with the model's state dict, as itself or under model or state_dict.",
        )
    return Weights(tensors)


def _tensors(values: Mapping[Any, Any]) -> dict[str, Tensor]:
    return {_plain(str(n)): value for n, value in values.items() if isinstance(value, Tensor)}


def _plain(name: str) -> str:
    """A name without what parallel training and torch.compile put before it."""
    for prefix in ("module.", "_orig_mod."):
        name = name.removeprefix(prefix)
    return name


# --- numpy's numbers, by functions of our own: numpy itself is not handed to a pickle ---


class _Dtype:
    """Stands for a numpy dtype in a pickle; holds its code."""

    def __init__(self, code: str, *_: Any) -> None:
        self.code = code

    def __setstate__(self, state: Sequence[Any]) -> None:
        # (version, byte order, ...): what a plain number needs beside its code.
        self.order = state[1] if isinstance(state[1], str) and state[1] in "<>=|" else "="


def _number(dtype: Any, data: bytes = b"") -> float | int | bool:
    """A Python number from numpy's pickled scalar.

    Raises pickle.UnpicklingError for anything that is not one plain number.
    """
    code = dtype.code if isinstance(dtype, _Dtype) else ""
    if code not in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"):
        raise pickle.UnpicklingError(f"a numpy value of dtype {code!r} is no plain number")
    order = getattr(dtype, "order", "=").replace("|", "=")
    found = np.frombuffer(data, np.dtype(order + code))
    if len(found) != 1:
        raise pickle.UnpicklingError(f"{len(found)} numbers in a numpy scalar")
    return found[0].item()


_NAMES = {
    "numpy.dtype": _Dtype,
    "numpy.core.multiarray.scalar": _number,  # written by numpy 1
    "numpy._core.multiarray.scalar": _number,  # by numpy 2
}


def _numpy_numbers() -> list[Any]:
    # _Dtype once more under its own name: torch looks an instance's type up before it sets state.
    return [(function, name) for name, function in _NAMES.items()] + [_Dtype]
