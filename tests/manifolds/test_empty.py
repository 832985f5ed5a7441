"""No rows: every operation on every manifold gives an empty result, and gradients of its inputs."""

import pytest
import torch
from spaces import ARGUMENTS, CONES, MADE, MEANS, SPACES, arguments, call, make
from torch import Tensor

NUMBERS = ("dist", "dist0", "dist2", "inner", "norm", "log_normal_density")


def expected(op: str, first: tuple[int, ...], last: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the result, from the shapes of the first tensor and of the last."""
    if op.startswith("pairwise"):
        return (*first[:-1], last[-2])
    if op in MEANS:
        return (*first[:-2], first[-1])
    return first[:-1] if op in NUMBERS or op in CONES else first


def backward(results: tuple[Tensor, ...], tensors: list[Tensor]) -> None:
    total = torch.stack([r.sum() for r in results]).sum()
    if total.requires_grad:  # flat transport depends on no point
        grads = torch.autograd.grad(total, tensors, allow_unused=True, materialize_grads=True)
        for t, grad in zip(tensors, grads, strict=True):
            assert grad.shape == t.shape and grad.dtype == t.dtype and not grad.any()


@pytest.mark.parametrize("op", ARGUMENTS)
@pytest.mark.parametrize("name", SPACES)
def test_no_rows_in_no_rows_out(name, op):
    m = make(name, learnable=True)
    if op in CONES and not m.has_cones:
        return
    sizes = [(2, 0, 4), (0, 3, 4)] if op.startswith("pairwise") else [(0, 4), (2, 0, 4), (0, 3, 4)]
    if op in MEANS:
        sizes = [(0, 3, 4), (2, 0, 3, 4)]
    for dtype in (torch.float32, torch.float64):
        for size in sizes:
            tensors = [t.requires_grad_() for t in arguments(m, op, *size, dtype=dtype)]
            result = call(getattr(m, op), op, *tensors)
            for r in result if isinstance(result, tuple) else (result,):
                assert r.shape == expected(op, size, size) and r.dtype == dtype, (r.shape, size)
            backward(result if isinstance(result, tuple) else (result,), tensors)
            c = [p for p in m.parameters() if p.requires_grad]
            first = result[0] if isinstance(result, tuple) else result
            if c and first.requires_grad:
                again = call(getattr(m, op), op, *tensors)
                again = again[0] if isinstance(again, tuple) else again
                for grad in torch.autograd.grad(
                    again.sum(), c, allow_unused=True, materialize_grads=True
                ):
                    assert grad == 0


@pytest.mark.parametrize("op", [op for op in ARGUMENTS if op.startswith("pairwise")])
@pytest.mark.parametrize("name", SPACES)
def test_pairs_of_nothing(name, op):
    m = make(name)
    if op in CONES and not m.has_cones:
        return
    for dtype in (torch.float32, torch.float64):
        for n, k in ((0, 0), (0, 3), (3, 0)):
            for batch in ((), (2,), (0,)):
                x, y = (
                    m.random_normal(*batch, rows, 4, std=0.3, dtype=dtype).requires_grad_()
                    for rows in (n, k)
                )
                result = getattr(m, op)(x, y)
                assert result.shape == (*batch, n, k) and result.dtype == dtype
                backward((result,), [x, y])


@pytest.mark.parametrize("name", SPACES)
def test_what_is_made_can_be_empty(name):
    m = make(name)
    for op in MADE:
        for size in ((0, 4), (2, 0, 4)):
            made = getattr(m, op)(*size, dtype=torch.float64)
            assert made.shape == size and made.dtype == torch.float64
            assert m.check_point(made)
            assert m.check_vector(made, made)
