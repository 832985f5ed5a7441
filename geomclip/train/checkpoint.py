"""Checkpoints: weights as safetensors, and beside them what an exact resume needs.

    checkpoints/step-000400/model.safetensors   the model's state dict, the root included
    checkpoints/step-000400/state.pt            optimizer, step, data position, timings, log window

A checkpoint folder appears by one rename, so one that has its name is complete.
"""

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from geomclip.errors import RequestError
from geomclip.train.files import remove_folder, write_folder

WEIGHTS = "model.safetensors"
STATE = "state.pt"
_NAME = re.compile(r"step-(\d{6,})")


@dataclass
class Progress:
    """All that the loop carries from step to step beside weights and optimizer."""

    step: int = 0
    """Optimizer steps done."""
    seconds: float = 0.0
    """Wall seconds of training so far, over all sessions."""
    cpu_seconds: float = 0.0
    """CPU seconds of the process so far, over all sessions."""
    window: dict[str, float] = field(default_factory=dict)
    """Sums since the last line of metrics.jsonl."""
    data: dict[str, Any] = field(default_factory=dict)
    """Where the training data stand: `BatchStream.state_dict`."""
    losses: dict[str, Any] = field(default_factory=dict)
    """What the losses have learned of their own: `Criterion.state_dict`."""
    streaks: dict[str, int] = field(default_factory=dict)
    """For how many steps something has stood still: `Streaks`."""
    root: dict[str, int] = field(default_factory=dict)
    """What the root is the mean of: `Rooted`; empty where it is the origin."""


def checkpoints(run: Path) -> list[Path]:
    """The complete checkpoints of a run folder, oldest first."""
    found = {
        int(match[1]): path
        for path in (run / "checkpoints").glob("step-*")
        if (match := _NAME.fullmatch(path.name))
    }
    return [found[step] for step in sorted(found)]


def checkpoint_path(run: Path, step: int) -> Path:
    """The folder of the checkpoint of a step."""
    return run / "checkpoints" / f"step-{step:06d}"


def save_checkpoint(
    run: Path, model: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress, *, keep: int
) -> Path:
    """Write the checkpoint of `progress.step` in one rename, then remove all but the newest `keep`.

    Raises OSError (disk full, ...); what was there before is then intact.
    """
    path = checkpoint_path(run, progress.step)
    if not path.exists():  # an interrupt at a step that has just been saved
        state = {
            "optimizer": optimizer.state_dict(),
            "step": progress.step,
            "seconds": progress.seconds,
            "cpu_seconds": progress.cpu_seconds,
            "window": progress.window,
            "data": progress.data,
            "losses": progress.losses,
            "streaks": progress.streaks,
            "root": progress.root,
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_folder(path, {WEIGHTS: weights_bytes(model), STATE: buffer.getvalue()})
    for old in checkpoints(run)[:-keep]:
        remove_folder(old)
    return path


def load_checkpoint(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
    """Put model and optimizer into the state that a checkpoint holds; returns the rest of it.

    Raises:
        RequestError: a file is damaged, or belongs to a model of another shape.
    """
    load_weights(path / WEIGHTS, model)
    try:
        # weights_only: a checkpoint from somewhere else can't run code.
        state: dict[str, Any] = torch.load(path / STATE, map_location="cpu", weights_only=True)
        optimizer.load_state_dict(state["optimizer"])
        names = Progress.__dataclass_fields__
        return Progress(**{name: state[name] for name in names})
    # torch.load raises half a dozen kinds for a damaged file, and explains none to a user.
    except Exception as error:
        raise RequestError(
            f"{path / STATE} is not readable as training state ({type(error).__name__})",
            "Remove this checkpoint folder; --resume then takes the one before.",
        ) from error


def weights_bytes(model: nn.Module) -> bytes:
    """The state dict in safetensors format."""
    from safetensors.torch import save

    # safetensors stores row-major tensors only; loading copies into the module's own layout.
    tensors = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    return save(tensors, metadata={"format": "pt"})


def load_weights(path: Path, model: nn.Module) -> None:
    """Copy a safetensors file into a model, every tensor by name and shape.

    Raises:
        RequestError: the file is missing or damaged, or a tensor is missing, unknown, or of another
            shape or dtype.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
    except FileNotFoundError:
        raise RequestError(f"{path}: there is no such file", "Check the path.") from None
    except (SafetensorError, OSError) as error:
        raise RequestError(
            f"{path} is not readable as safetensors: {error}",
            "Copy it again, or take another checkpoint.",
        ) from None
    _check_tensors(path, tensors, model.state_dict())
    model.load_state_dict(tensors)


def _check_tensors(path: Path, got: Mapping[str, Tensor], want: Mapping[str, Tensor]) -> None:
    how = "The configuration beside it is of another model; keep the files of a run together."
    for name, tensor in want.items():
        if name not in got:
            raise RequestError(f"{path} has no tensor {name} {tuple(tensor.shape)}", how)
        if got[name].shape != tensor.shape:
            raise RequestError(
                f"{path}: tensor {name} has shape {tuple(got[name].shape)}, "
                f"expected {tuple(tensor.shape)}",
                how,
            )
        if got[name].dtype != tensor.dtype:
            raise RequestError(
                f"{path}: tensor {name} is {got[name].dtype}, expected {tensor.dtype}", how
            )
    if unknown := sorted(set(got) - set(want)):
        raise RequestError(
            f"{path} has tensors that the model lacks: {', '.join(unknown[:5])}", how
        )
