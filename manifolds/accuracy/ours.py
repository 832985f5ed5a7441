"""The code under test as operations of the table."""

from torch import Tensor

from manifolds import functional
from manifolds.accuracy.measure import Operation


def operation(quantity: str, manifold: str) -> Operation | None:
    """`functional`'s function; of pairwise ones the diagonal."""
    function = getattr(functional, f"{manifold}_{quantity}", None)
    if function is None:
        return None

    def run(c: float, *arguments: Tensor, **options: float) -> Tensor:
        parameters = () if manifold == "euclidean" else (c,)
        value = function(*arguments, *parameters, **options)
        return value.diagonal() if quantity.startswith("pairwise") else value

    return run
