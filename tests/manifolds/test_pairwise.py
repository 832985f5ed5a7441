"""pairwise_dist is dist for all pairs, whatever the spread, in O(n m) memory."""

import math
import resource

import pytest
import torch
from torch.testing import assert_close

from manifolds import MANIFOLDS, Lorentz, functional
from manifolds.kernels import reference

EPS = 1.2e-7
NAMES = list(MANIFOLDS)


def cloud(name: str, n: int, dim: int, spread: float, dtype: torch.dtype = torch.float32):
    """n points within `spread` of one another, a distance of 1 from the root; five of them
    coincide.
    """
    torch.manual_seed(0)
    m = MANIFOLDS[name]().to(dtype)
    center = m.random_normal(1, dim, std=1 / math.sqrt(dim), dtype=torch.float64)
    u = torch.randn(n, dim, dtype=torch.float64) * spread / math.sqrt(dim)
    u[:5] = 0
    wide = MANIFOLDS[name]().double()
    return m, wide.expmap(center, wide.proju(center, u)).to(dtype)


@pytest.mark.parametrize("spread", [1.0, 1e-3, 1e-6])
@pytest.mark.parametrize("name", NAMES)
def test_equals_dist_on_every_pair(name, spread):
    m, x = cloud(name, 30, 64, spread)
    y = torch.cat([x[:10], m.random_normal(10, 64, std=0.2)])
    x, y = x.requires_grad_(), y.requires_grad_()
    pairs, single = m.pairwise_dist(x, y), m.dist(x[:, None], y)
    assert_close(pairs, single, rtol=64 * EPS, atol=0)
    assert (pairs[:5, :5] == 0).all()
    weight = torch.rand_like(pairs)
    for a, b in zip(
        torch.autograd.grad(pairs, (x, y), weight),
        torch.autograd.grad(single, (x, y), weight),
        strict=True,
    ):
        assert a.isfinite().all()
        assert (a - b).norm() <= 64 * EPS * b.norm()
    assert_close(m.pairwise_dist2(x, y), m.dist2(x[:, None], y), rtol=128 * EPS, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_equals_dist_in_float64(name):
    m, x = cloud(name, 30, 8, 1e-4, torch.float64)
    y = torch.cat([x[:10], m.random_normal(10, 8, dtype=torch.float64)])
    x, y = x.requires_grad_(), y.requires_grad_()
    pairs, single = m.pairwise_dist(x, y), m.dist(x[:, None], y)
    assert_close(pairs, single, rtol=1e-14, atol=0)
    weight = torch.rand_like(pairs)
    grads = torch.autograd.grad(pairs, (x, y), weight)
    for a, b in zip(grads, torch.autograd.grad(single, (x, y), weight), strict=True):
        assert (a - b).norm() <= 1e-13 * b.norm()


@pytest.mark.parametrize("name", NAMES)
def test_blocks_and_pieces_change_nothing(name, monkeypatch):
    m, x = cloud(name, 23, 5, 1e-5)
    x = torch.cat([x, m.random_normal(10, 5)]).requires_grad_()
    y = x.detach()[:17].clone().requires_grad_()
    parameters = [x, y, *(p.requires_grad_() for p in m.parameters())]

    def results():
        d = m.pairwise_dist(x, y)
        return d, torch.autograd.grad((d * torch.arange(17.0)).sum(), parameters)

    whole, whole_grads = results()
    monkeypatch.setattr(reference, "MAX_BLOCK", 40)  # two rows a block, eight pairs a piece
    parts, part_grads = results()
    assert_close(parts, whole, rtol=EPS, atol=0)
    for a, b in zip(part_grads, whole_grads, strict=True):
        assert (a - b).norm() <= 1e-6 * b.norm() + 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_batches_broadcast(name):
    m, x = cloud(name, 4 * 6, 5, 0.5, torch.float64)
    x, y = x.reshape(4, 6, 5), x[:14].reshape(2, 1, 7, 5)
    x, y = x.requires_grad_(), y.detach().requires_grad_()
    pairs = m.pairwise_dist(x, y)
    single = m.dist(x[..., :, None, :], y[..., None, :, :])
    assert pairs.shape == (2, 4, 6, 7)
    assert_close(pairs, single, rtol=1e-13, atol=0)
    for a, b in zip(
        torch.autograd.grad(pairs.sum(), (x, y)),
        torch.autograd.grad(single.sum(), (x, y)),
        strict=True,
    ):
        assert_close(a, b, rtol=1e-11, atol=1e-11)
    assert m.pairwise_dist(x[:, :0], y).shape == (2, 4, 0, 7)


def test_no_tensor_of_pairs_times_dimensions():
    """1609 x 1609 x 64: every broadcast in float64 would need 1.3 GB."""
    m = Lorentz()
    x = m.random_normal(1609, 64, std=0.1).requires_grad_()
    m.pairwise_dist(x[:64], x[:64]).sum().backward()  # allocator and thread pools, once
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    m.pairwise_dist(x, x).sum().backward()
    with torch.no_grad():
        m.pairwise_exterior_angle(x, x)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 600, f"{grown:.0f} MB"


@pytest.mark.parametrize("c", [0.1, 1.0, 10.0])
def test_lorentzian_products(c):
    torch.manual_seed(0)
    x, y = torch.randn(2, 6, 5, dtype=torch.float64)
    time = (1 / c + x.square().sum(-1)).sqrt()[:, None] * (1 / c + y.square().sum(-1)).sqrt()
    products = functional.lorentz_pairwise_inner(x, y, c)
    assert_close(products, x @ y.T - time, rtol=1e-14, atol=0)
    assert_close(
        functional.lorentz_pairwise_dist(x, y, c),
        torch.acosh(-c * products) / math.sqrt(c),
        rtol=1e-12,
        atol=0,
    )


@pytest.mark.parametrize("name", NAMES)
def test_second_derivatives_where_pairs_are_close(name):
    m, x = cloud(name, 7, 4, 1e-2, torch.float64)
    x = x[4:].clone().requires_grad_()
    weight = torch.rand(3, 3, dtype=torch.float64)
    y = m.expmap(x.detach(), m.proju(x.detach(), 1e-3 * torch.randn_like(x)))

    def slope(pairwise: bool):
        d = m.pairwise_dist(x, y) if pairwise else m.dist(x[:, None], y)
        return torch.autograd.grad((weight * d).sum(), x, create_graph=True)[0].sin().sum()

    expected = torch.autograd.grad(slope(False), x)[0]
    assert_close(torch.autograd.grad(slope(True), x)[0], expected, rtol=1e-9, atol=1e-9)
