"""More than 2^31 pairs in one call: no index and no count is 32 bits wide."""

import pytest
import torch
from torch import Tensor

from manifolds import Lorentz
from manifolds.kernels.contrastive import logsumexp

N, M = 46_400, 46_300
assert N * M > 2**31
LAST = slice(-3, None)


def available() -> float:
    """Free memory, GiB; none where the system does not say."""
    try:
        with open("/proc/meminfo") as file:
            lines = dict(line.split(":") for line in file)
    except OSError:
        return 0
    return int(lines["MemAvailable"].split()[0]) / 2**20


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(available() < 11, reason="needs 11 GiB of free memory"),
]


def sides() -> tuple[Lorentz, Tensor, Tensor]:
    """Points of so many dimensions that none are close: float64 would take many times as long."""
    torch.manual_seed(0)
    m = Lorentz()
    return m, *(m.random_normal(n, 16, std=0.5).requires_grad_() for n in (N, M))


def test_distances() -> None:
    m, x, y = sides()
    distance = m.pairwise_dist(x, y)
    assert distance.numel() > 2**31
    at_x, at_y = torch.autograd.grad(distance.sum(), (x, y))
    ours = (distance.detach()[LAST], distance.detach()[:, LAST].T, at_x[LAST], at_y[LAST])
    m, (x, y) = m.double(), (t.detach().double() for t in (x, y))
    ends = [t[LAST].clone().requires_grad_() for t in (x, y)]
    rows, columns = m.dist(ends[0][:, None], y), m.dist(ends[1][:, None], x)
    grads = torch.autograd.grad(rows.sum() + columns.sum(), ends)
    for a, b in zip(ours, (rows, columns, *grads), strict=True):
        assert (a - b).norm() <= 64 * 1.2e-7 * b.norm()


def test_sums() -> None:
    """All products are kept: they alone are 2^31 elements."""
    m, x, y = sides()
    sums = logsumexp(m, x, y, scale=20.0, memory="buffer")
    at_x, at_y = torch.autograd.grad(
        sums.row.sum() + sums.column.sum() - 2 * sums.pair.sum(), (x, y)
    )
    row, column, pair = (t.detach() for t in (sums.row, sums.column, sums.pair))
    assert pair.shape == (M,)
    m, (x, y) = m.double(), (t.detach().double() for t in (x, y))
    # Rows beyond M have no partner; the last columns have theirs.
    lines = ((x, y, row, column, at_x, N - 3), (y, x, column, row, at_y, M - 3))
    for points, others, mine, theirs, grad, first in lines:
        ends = points[LAST].clone().requires_grad_()
        logits = -20 * m.dist(ends[:, None], others)
        partner = torch.zeros_like(logits, dtype=torch.bool)
        if first < min(N, M):
            partner[range(3), range(first, first + 3)] = True
        single = logits[partner]
        logits = logits.masked_fill(partner, -torch.inf)
        total = logits.logsumexp(1)
        assert (mine[LAST] - total).abs().max() <= 1e-5
        weight = (logits - theirs).exp().detach()
        part = (weight * logits.masked_fill(partner, 0)).sum()
        (exact,) = torch.autograd.grad(total.sum() + part - 2 * single.sum(), ends)
        assert (grad[LAST] - exact).norm() <= 64 * 1.2e-7 * exact.norm()
