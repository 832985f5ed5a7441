"""What a loss learns or keeps of its own, beside the points that it is given."""

import abc

from torch import nn


class LossState(nn.Module, abc.ABC):
    """Parameters (given to the optimizer, without weight decay) and buffers, in checkpoints."""

    @abc.abstractmethod
    def scalars(self) -> dict[str, float]:
        """Numbers for the log, by name: values of the parameters first, in their order."""

    def commit_(self) -> None:
        """Takes over what the last evaluation found; called after the optimizer's step."""
