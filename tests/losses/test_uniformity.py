"""Alignment and uniformity: exact values, the papers' definitions, every manifold, bands."""

import math

import pytest
import torch
from torch import Tensor

from geomclip.losses import (
    alignment_loss,
    bands,
    cross_uniformity_loss,
    uniformity_loss,
)
from manifolds import Euclidean, Lorentz, Manifold, PoincareBall, Product, Sphere


def circle(*degrees: float, c: float = 1.0) -> Tensor:
    angle = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    return torch.stack([angle.cos(), angle.sin()], 1) / math.sqrt(c)


@pytest.mark.parametrize("c", [0.25, 1.0, 4.0])
def test_exact_values_on_the_circle(c: float) -> None:
    m = Sphere(c=c).double()
    x, y = circle(0, 90, c=c), circle(0, 60, c=c)
    right = math.pi / 2
    # Arcs of 0 and 30 degrees; their chords squared are 0 and 2 - 2 cos 30.
    assert alignment_loss(m, x, y).item() == pytest.approx((math.pi / 6) ** 2 / 2 / c, rel=1e-12)
    chord = alignment_loss(m, x, y, metric="chord").item()
    assert chord == pytest.approx((1 - math.sqrt(0.75)) / c, rel=1e-12)
    # One pair, a right angle apart: the log of its potential.
    assert uniformity_loss(m, x).item() == pytest.approx(-2 * right**2 / c, rel=1e-12)
    assert uniformity_loss(m, x, metric="chord").item() == pytest.approx(-4 / c, rel=1e-12)
    assert uniformity_loss(m, x, spread=0.5).item() == pytest.approx(-(right**2) / 2 / c, rel=1e-12)
    # Across: 0 with 60, 90 with 0; partners don't count.
    mean = (math.exp(-2 * (math.pi / 3) ** 2 / c) + math.exp(-2 * right**2 / c)) / 2
    assert cross_uniformity_loss(m, x, y).item() == pytest.approx(math.log(mean), rel=1e-12)
    mean = (math.exp(-2 / c) + math.exp(-4 / c)) / 2
    across = cross_uniformity_loss(m, x, y, metric="chord").item()
    assert across == pytest.approx(math.log(mean), rel=1e-12)


def test_points_that_coincide_have_uniformity_0_and_the_square_of_side_1_its_own() -> None:
    m = Euclidean()
    same = torch.ones(5, 3, dtype=torch.float64)
    assert uniformity_loss(m, same).item() == pytest.approx(0, abs=1e-14)
    square = torch.tensor([[0.0, 0], [1, 0], [0, 1], [1, 1]], dtype=torch.float64)
    mean = (4 * math.exp(-2) + 2 * math.exp(-4)) / 6
    assert uniformity_loss(m, square).item() == pytest.approx(math.log(mean), rel=1e-12)


def test_on_the_sphere_chords_are_the_published_definition() -> None:
    torch.manual_seed(0)
    x, y = torch.nn.functional.normalize(torch.randn(2, 40, 6, dtype=torch.float64), dim=-1)
    m = Sphere().double()
    published = torch.pdist(x).square().mul(-2).exp().mean().log()
    torch.testing.assert_close(uniformity_loss(m, x, metric="chord"), published)
    published = (x - y).norm(dim=1).square().mean()
    torch.testing.assert_close(alignment_loss(m, x, y, metric="chord"), published)


def test_every_manifold_by_its_definition(manifold: Manifold) -> None:
    n = 7
    x, y = manifold.random_normal(2, n, 4, std=0.4, dtype=torch.float64).unbind(0)
    d2 = manifold.dist(x[:, None], y).square()
    within = manifold.dist(x[:, None], x).square()
    others = ~torch.eye(n, dtype=torch.bool)
    torch.testing.assert_close(alignment_loss(manifold, x, y), d2.diagonal().mean())
    for spread in (0.5, 2.0):
        expected = (-spread * d2[others]).exp().mean().log()
        found = cross_uniformity_loss(manifold, x, y, spread=spread)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
        expected = (-spread * within[others]).exp().mean().log()
        found = uniformity_loss(manifold, x, spread=spread)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "m",
    [
        Euclidean(),
        Sphere(c=2.0),
        Lorentz(c=0.5),
        PoincareBall(),
        Product([Lorentz(), Sphere()], dims=[2, 2]),
    ],
    ids=lambda m: m.name,
)
def test_gradients(m: Manifold) -> None:
    torch.manual_seed(1)
    m = m.double()
    u, v = (0.5 * torch.randn(3, 4, dtype=torch.float64) for _ in range(2))
    u, v = u.requires_grad_(), v.requires_grad_()

    def points(u: Tensor) -> Tensor:
        if isinstance(m, Sphere):
            return m.projx(u)
        return m.expmap0(m.proju(m.origin(4, dtype=u.dtype), u))

    for loss in (
        lambda u, v: alignment_loss(m, points(u), points(v)),
        lambda u, v: uniformity_loss(m, points(u)),
        lambda u, v: cross_uniformity_loss(m, points(u), points(v)),
    ):
        # Of one random direction.
        assert torch.autograd.gradcheck(loss, (u, v), atol=1e-6, rtol=1e-5, fast_mode=True)


def test_gradients_are_finite_where_points_coincide() -> None:
    for m in (Euclidean(), Sphere(), Lorentz()):
        x = m.double().origin(5, 3, dtype=torch.float64).clone().requires_grad_()
        loss = uniformity_loss(m, x) + cross_uniformity_loss(m, x, x) + alignment_loss(m, x, x)
        loss.backward()
        assert x.grad is not None and x.grad.isfinite().all()


def test_bands_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    m = Product([Lorentz(c=2.0), Euclidean()], dims=[2, 2]).double()
    drawn = m.random_normal(2, 9, 4, dtype=torch.float64)
    results = []
    for band in (bands.BAND, 18):
        monkeypatch.setattr(bands, "BAND", band)
        x = drawn.clone().requires_grad_()
        loss = cross_uniformity_loss(m, x[0], x[1])
        results.append((loss, *torch.autograd.grad(loss, x)))
    torch.testing.assert_close(results[0], results[1], rtol=1e-12, atol=1e-14)


def test_float32_stays_float32() -> None:
    x = torch.randn(6, 3)
    assert uniformity_loss(Euclidean(), x).dtype == torch.float32
    assert uniformity_loss(Euclidean(), x.bfloat16()).dtype == torch.float32


def test_what_can_t_be_asked(unchecked: None) -> None:
    x = torch.randn(3, 4)
    m = Lorentz()
    with pytest.raises(ValueError, match=r"at least 2, got \(1, 4\)"):
        uniformity_loss(m, x[:1])
    with pytest.raises(ValueError, match=r"got \(3, 4\) and \(2, 4\)"):
        cross_uniformity_loss(m, x, x[:2])
    with pytest.raises(ValueError, match="at least 1"):
        alignment_loss(m, x[:0], x[:0])
    with pytest.raises(ValueError, match=r"chord is .* of the sphere, not of Lorentz"):
        alignment_loss(m, x, x, metric="chord")
    with pytest.raises(ValueError, match="metric is geodesic or chord, got 'cosine'"):
        uniformity_loss(m, x, metric="cosine")  # type: ignore[arg-type]
    for spread in (0.0, -1.0, math.inf):
        with pytest.raises(ValueError, match=f"must be positive, got {spread}"):
            uniformity_loss(m, x, spread=spread)
