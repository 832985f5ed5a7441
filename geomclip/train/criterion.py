"""The losses that a configuration asks for, what they learn of their own, and their chance line."""

from collections.abc import Iterator

from torch import Tensor, nn

from geomclip.geometry import Geometry
from geomclip.losses.state import LossState
from geomclip.losses.table import LOSSES, Call, Loss, Sample
from geomclip.train.config import TrainConfig

TERMS = tuple(name for name, row in LOSSES.items() if row.term and not row.contrastive)


class Criterion(nn.Module):
    """Rows of `LOSSES` with their weights; their parameters and buffers are this module's.

    Args:
        items: of the training data, for losses that keep something for each.
    """

    def __init__(self, config: TrainConfig, geometry: Geometry, items: int = 0) -> None:
        super().__init__()
        self.options, self.roles = config.loss, config.roles
        self.pairs = config.batch_size
        self.needs = self.needed(config)
        self.weights = _weights(config)
        """Of the terms beside the contrastive loss and MERU's entailment, which has a schedule."""
        self.states = nn.ModuleDict()
        for name in (config.loss.contrastive, *self.weights):
            if (make := LOSSES[name].state) is not None:
                self.states[name] = make(config.loss, geometry, self.pairs, items)

    @property
    def contrastive(self) -> str:
        """The row that the run minimises by itself."""
        return self.options.contrastive

    @staticmethod
    def needed(config: TrainConfig) -> set[str]:
        """Fields of `Sample` that a configuration's losses ask for beside points."""
        names = [config.loss.contrastive, *_weights(config)]
        return {need for name in names for need in LOSSES[name].needs}

    def value(self, name: str, geometry: Geometry, sample: Sample, min_radius: float) -> Tensor:
        """A row's loss of a sample, 0-dim, without its weight."""
        row: Loss = LOSSES[name]
        assert row.term is not None
        state = self._state(name)
        return row.term(Call(geometry, sample, self.options, self.roles, min_radius, state))

    def commit_(self) -> None:
        """Take over what losses keep from batch to batch; call it after the optimizer's step."""
        for state in self._states():
            state.commit_()

    def chance(self) -> float:
        """The contrastive loss of a model that tells nothing from anything, for whole batches."""
        chance, state = LOSSES[self.contrastive].chance, self._state(self.contrastive)
        return chance(self.options, self.roles, self.pairs, state)

    def scalars(self) -> dict[str, float]:
        """What the losses have learned, for the log."""
        return {name: n for state in self._states() for name, n in state.scalars().items()}

    def named_scalars(self) -> dict[str, nn.Parameter]:
        """The parameters of the losses by the names of their values in `scalars()`."""
        # States list the values of their parameters first.
        return {
            name: parameter
            for state in self._states()
            for name, parameter in zip(state.scalars(), state.parameters(), strict=False)
        }

    def _states(self) -> Iterator[LossState]:
        for state in self.states.values():
            assert isinstance(state, LossState)
            yield state

    def _state(self, name: str) -> LossState | None:
        state = self.states[name] if name in self.states else None
        assert state is None or isinstance(state, LossState)
        return state


def _weights(config: TrainConfig) -> dict[str, float]:
    weights = {name: getattr(config.loss, name) for name in TERMS if name != "entailment"}
    return {name: weight for name, weight in weights.items() if weight > 0}
