"""Agreement with geoopt (its k is 1/c), and what its parameters refuse."""

import geoopt
import pytest
import torch
from torch.testing import assert_close

from manifolds import Lorentz, PoincareBall, Sphere, from_ambient, to_ambient


@pytest.mark.parametrize("c", [0.1, 1.0, 10.0])
def test_lorentz_agrees(c):
    torch.manual_seed(0)
    ours, theirs = Lorentz(c=c).double(), geoopt.Lorentz(k=torch.tensor(1 / c, dtype=torch.float64))
    x, y = ours.random_normal(2, 20, 4, std=0.5 / c**0.5, dtype=torch.float64)
    p, q = to_ambient(x, c), to_ambient(y, c)
    assert_close(ours.dist(x, y), theirs.dist(p, q), rtol=1e-9, atol=1e-10)
    assert_close(ours.dist0(x), theirs.dist0(p), rtol=1e-9, atol=1e-10)
    log = theirs.logmap(p, q)
    assert_close(ours.logmap(x, y), log[:, 1:], rtol=1e-8, atol=1e-9)
    assert_close(ours.norm(x, log[:, 1:]), theirs.norm(log).double(), rtol=1e-8, atol=1e-9)
    assert_close(
        ours.expmap(x, 0.5 * log[:, 1:]),
        from_ambient(theirs.expmap(p, 0.5 * log)),
        rtol=1e-8,
        atol=1e-9,
    )
    assert_close(
        ours.transp(x, y, log[:, 1:]), theirs.transp(p, q, log)[:, 1:], rtol=1e-7, atol=1e-8
    )


@pytest.mark.parametrize("c", [0.1, 1.0, 10.0])
def test_ball_agrees(c):
    torch.manual_seed(0)
    ours, theirs = (
        PoincareBall(c=c).double(),
        geoopt.PoincareBall(c=torch.tensor(c, dtype=torch.float64)),
    )
    x, y, u = ours.random_normal(3, 20, 4, std=0.5 / c**0.5, dtype=torch.float64)
    assert_close(ours.dist(x, y), theirs.dist(x, y), rtol=1e-9, atol=1e-10)
    assert_close(ours.logmap(x, y), theirs.logmap(x, y), rtol=1e-8, atol=1e-9)
    assert_close(ours.expmap(x, u), theirs.expmap(x, u), rtol=1e-8, atol=1e-9)
    assert_close(ours.expmap0(u), theirs.expmap0(u), rtol=1e-9, atol=1e-10)
    assert_close(ours.transp(x, y, u), theirs.transp(x, y, u), rtol=1e-8, atol=1e-9)
    assert_close(
        ours.inner(x, u, y), theirs.inner(x, u, y, keepdim=True)[:, 0], rtol=1e-10, atol=1e-11
    )
    assert_close(ours.egrad2rgrad(x, u), theirs.egrad2rgrad(x, u), rtol=1e-10, atol=1e-11)


def test_sphere_agrees():
    torch.manual_seed(0)
    ours, theirs = Sphere().double(), geoopt.Sphere()
    x, y = ours.random_normal(2, 20, 4, std=0.5, dtype=torch.float64)
    u = ours.proju(x, torch.randn_like(x))
    assert_close(ours.dist(x, y), theirs.dist(x, y), rtol=1e-8, atol=1e-8)
    assert_close(ours.logmap(x, y), theirs.logmap(x, y), rtol=1e-7, atol=1e-8)
    assert_close(ours.expmap(x, u), theirs.expmap(x, u), rtol=1e-10, atol=1e-11)
    assert_close(ours.retr(x, u), theirs.retr(x, u), rtol=1e-10, atol=1e-11)


def test_construction_rejects_values_off_the_manifold():
    with pytest.raises(ValueError, match="PoincareBall"):
        geoopt.ManifoldParameter(torch.ones(2, 3), manifold=PoincareBall())
    with pytest.raises(ValueError, match="Sphere"):
        geoopt.ManifoldParameter(torch.ones(2, 3), manifold=Sphere())
    with pytest.raises(ValueError, match="NaN"):
        geoopt.ManifoldParameter(torch.full((2, 3), torch.nan), manifold=Lorentz())
