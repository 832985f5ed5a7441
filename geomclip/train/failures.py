"""How a run fails: every error names the last good checkpoint and what to try."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from torch import nn

from geomclip.errors import GeomclipError
from geomclip.geometry import Geometry
from geomclip.model import ContrastiveModel
from geomclip.train.checkpoint import checkpoints
from geomclip.train.config import TrainConfig
from geomclip.train.files import disk_errors
from geomclip.train.run import resume_command
from geomclip.train.telemetry import FAR


def diverged(
    config: TrainConfig, out: Path, geometry: Geometry, what: str, step: int, far: float
) -> GeomclipError:
    """The error of a run whose loss, gradient or update (`what`) is no number at a step, from 1."""
    facts = [
        f"{name} at its {side} bound {geometry.scalars()[name]:.3g}"
        for name, side in geometry.at_bound().items()
    ]
    if far > 0:
        facts.append(f"{far:.0%} of the embeddings beyond radius {FAR:g}")
    clip = "" if config.clip_norm else ", --clip-norm 1"
    return GeomclipError(
        f"the {what} became NaN or infinite at step {step} "
        f"({config.geometry}: {', '.join(facts) or 'no scalar at a bound'})",
        f"{last_good(out)} Try --lr {config.lr / 3:.1g}{clip} in a new --out.",
    )


@contextlib.contextmanager
def step_errors(config: TrainConfig, out: Path, step: int) -> Iterator[None]:
    """Turns what the model refuses (a zero feature on the sphere) into the error of a run."""
    try:
        yield
    except ValueError as error:
        raise GeomclipError(
            f"step {step} failed: {error}",
            f"{last_good(out)} Try --lr {config.lr / 3:.1g} in a new --out.",
        ) from error


def is_finite(model: ContrastiveModel, criterion: nn.Module) -> bool:
    """Whether every parameter, every running statistic of the towers and all that the losses have
    learned is finite."""
    # state_dict, not buffers: a causal mask is made of infinities on purpose, and is not stored.
    tensors = [*model.geometry.parameters(), *model.encoders.state_dict().values()]
    tensors += criterion.state_dict().values()
    return all(bool(t.isfinite().all()) for t in tensors if t.is_floating_point())


def saving(out: Path, doing: str) -> contextlib.AbstractContextManager[None]:
    """Turns an OSError while `doing` into a GeomclipError with the way out."""
    return disk_errors(
        f"{out}: {doing} failed",
        f"{last_good(out)} Make room, then {resume_command(out)}.",
    )


def last_good(out: Path) -> str:
    """A sentence that names the newest checkpoint."""
    saved = checkpoints(out)
    return f"Last good checkpoint: {saved[-1]}." if saved else "There is no checkpoint yet."
