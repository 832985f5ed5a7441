"""geoopt's line search, with a closure that returns its loss as every torch closure does."""

import inspect
from collections.abc import Callable
from typing import Any

import geoopt
import torch
from torch import Tensor

# torch wraps the step of a class once one of its instances exists; calling that from a subclass
# would run the step hooks twice.
_step = inspect.unwrap(geoopt.optim.RiemannianLineSearch.step)


class RiemannianLineSearch(geoopt.optim.RiemannianLineSearch):
    """`geoopt.optim.RiemannianLineSearch`; the closure may return a tensor.

    geoopt 0.5.1 hands the closure's value to scipy, which can't read a tensor that requires a
    gradient, and keeps the graphs of all directions it has tried. Here the value becomes a float
    and only the closure records a graph. Options and results are geoopt's.
    """

    def step(self, closure: Callable[[], Tensor | float], **options: Any) -> float:
        """One line search. `options`: force_step, recompute_gradients, no_step, as in geoopt.

        Args:
            closure: sets the gradients to zero, computes the loss and its gradients, returns it.
        """

        def value() -> float:
            with torch.enable_grad():
                loss = closure()
            return loss.item() if isinstance(loss, Tensor) else float(loss)

        with torch.no_grad():
            return _step(self, value, **options)
