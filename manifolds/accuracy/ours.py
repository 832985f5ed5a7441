"""The code under test as operations of the table."""

from torch import Tensor

from manifolds import Lorentz, Product, Sphere, functional
from manifolds.accuracy.measure import Operation


def operation(quantity: str, manifold: str) -> Operation | None:
    """`functional`'s function, of a product the method; of pairwise ones the diagonal."""
    if manifold == "product":
        return _of_product(quantity)
    function = getattr(functional, f"{manifold}_{quantity}", None)
    if function is None:
        return None

    def run(c: float, *arguments: Tensor, **options: float) -> Tensor:
        parameters = () if manifold == "euclidean" else (c,)
        value = function(*arguments, *parameters, **options)
        return value.diagonal() if quantity.startswith("pairwise") else value

    return run


def _of_product(quantity: str) -> Operation:
    def run(c: float, *arguments: Tensor) -> Tensor:
        half = arguments[0].shape[-1] // 2
        m = Product([Lorentz(c=c), Sphere(c=c)], dims=[half, half]).double()
        value = getattr(m, quantity)(*arguments)
        return value.diagonal() if quantity.startswith("pairwise") else value

    return run
