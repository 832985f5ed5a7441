"""Midpoints, Fréchet means and tangent PCA: laws on every manifold, exact values, hard sets."""

import math

import pytest
import torch
from drawing import DIM, RADII, draw, law, points, scale, tangent
from torch.autograd import gradcheck
from torch.testing import assert_close

from manifolds import (
    Euclidean,
    Lorentz,
    PoincareBall,
    Product,
    Sphere,
    functional,
    lorentz_to_poincare,
    tangent_pca,
    to_ambient,
)


def weights(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, dtype=torch.float64) + 0.1


def test_frechet_mean_is_stationary_and_least(manifold):
    torch.manual_seed(1)
    x, w = points(manifold, 5, 7, DIM, radius=RADII.clamp_max(1.0)), weights(5, 7)
    mean = manifold.frechet_mean(x, w)
    assert manifold.check_point(mean)
    pull = (w[..., None] * manifold.logmap(mean[:, None], x)).sum(-2)
    spread = manifold.dist(mean[:, None], x).mean(-1)
    assert (manifold.norm(mean, pull) <= 1e-12 * (spread + scale(manifold))).all()

    def loss(m: torch.Tensor) -> torch.Tensor:
        return (w * manifold.dist2(m.unsqueeze(-2), x)).sum(-1)

    for _ in range(3):
        away = manifold.expmap(mean, tangent(manifold, mean, 0.3 * RADII[:, 0].clamp_max(1.0)))
        assert (loss(away) > loss(mean)).all()


def test_means_do_not_depend_on_order_scale_of_weights_or_layout(manifold):
    torch.manual_seed(2)
    x, w = points(manifold, 2, 5, DIM), weights(5)
    order = torch.randperm(5)
    for mean in (manifold.frechet_mean, manifold.weighted_midpoint):
        expected = mean(x, w)
        limit = 1e-11 * scale(manifold)
        assert (manifold.dist(mean(x[:, order], w[order]), expected) <= limit).all()
        assert (manifold.dist(mean(x, 7 * w), expected) <= limit).all()
        assert (manifold.dist(mean(x.transpose(0, 1), w, dim=0), expected) <= limit).all()
        per_set = w.expand(2, 5)
        assert (manifold.dist(mean(x, per_set), expected) <= limit).all()
        assert (manifold.dist(mean(x[0], w), expected[0]) <= limit).all()
        twice = torch.cat([x, x[:, :1]], dim=1)
        heavier = torch.tensor([2.0, 1, 1, 1, 1], dtype=torch.float64)
        assert (manifold.dist(mean(twice), mean(x, heavier)) <= limit).all()


def test_means_of_few_points_are_midpoints(manifold):
    x, y = points(manifold, 2, 6, DIM)
    pair, limit = torch.stack([x, y]), 1e-11 * scale(manifold)
    for mean in (manifold.frechet_mean, manifold.weighted_midpoint):
        assert (manifold.dist(mean(pair, dim=0), manifold.midpoint(x, y)) <= limit).all()
        assert (manifold.dist(mean(x[:, None]), x) <= limit).all()
        assert (manifold.dist(mean(pair, torch.tensor([1.0, 0.0]).double(), 0), x) <= limit).all()
    t = 0.2
    w = torch.tensor([1 - t, t], dtype=torch.float64)
    between = manifold.frechet_mean(pair, w, 0)
    assert (manifold.dist(between, manifold.geodesic(t, x, y)) <= limit).all()


def test_means_follow_isometries(manifold):
    """exp_q of log_p, transported from p to q, is an isometry: all curvatures are constant."""
    torch.manual_seed(8)
    p, q = points(manifold, 2, DIM)
    x = points(manifold, 5, DIM)

    def move(x: torch.Tensor) -> torch.Tensor:
        return manifold.expmap(q, manifold.transp(p, q, manifold.logmap(p, x)))

    limit = 1e-10 * scale(manifold)
    apart = manifold.dist(move(x[1:]), move(x[:-1])) - manifold.dist(x[1:], x[:-1])
    assert (apart.abs() <= limit).all()
    for mean in (manifold.frechet_mean, manifold.weighted_midpoint):
        assert (manifold.dist(mean(move(x)), move(mean(x))) <= limit).all()


def test_implicit_gradient(manifold):
    torch.manual_seed(3)
    x, w = points(manifold, 4, DIM).requires_grad_(), weights(4).requires_grad_()
    assert gradcheck(manifold.frechet_mean, (x, w), fast_mode=True, atol=1e-6)
    assert gradcheck(manifold.weighted_midpoint, (x, w), fast_mode=True, atol=1e-6)


@pytest.mark.parametrize("name", ["sphere", "lorentz", "poincare"])
def test_functions_pass_the_gradient_of_c(name):
    torch.manual_seed(4)
    c = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    x = getattr(functional, f"{name}_random_normal")((4, 3), c.detach(), std=0.3).double()
    x = getattr(functional, f"{name}_projx")(x, c.detach()).requires_grad_()
    w = weights(4).requires_grad_()
    for op in ("frechet_mean", "weighted_midpoint"):
        f = getattr(functional, f"{name}_{op}")
        assert gradcheck(f, (x, c, w), atol=1e-6)


def test_the_implicit_gradient_cannot_be_differentiated_silently():
    x = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(Lorentz().frechet_mean(x).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once only"):
        torch.autograd.grad(grad.sum(), x)


@pytest.mark.parametrize("c", [0.1, 10.0])
def test_frechet_mean_of_widely_spread_points(c):
    """Radius 20, two points far out on opposite sides and all else: it is still found."""
    torch.manual_seed(5)
    hyperboloid, ball = Lorentz(c=c).double(), PoincareBall(c=c).double()
    x = points(hyperboloid, 6, 9, 3, radius=20.0)
    mean = hyperboloid.frechet_mean(x)
    pull = hyperboloid.logmap(mean[:, None], x).mean(-2)
    assert (hyperboloid.norm(mean, pull) <= 1e-6 / math.sqrt(c)).all()
    on_ball = ball.frechet_mean(lorentz_to_poincare(x, c))
    assert (ball.dist(on_ball, lorentz_to_poincare(mean, c)) <= 1e-5 / math.sqrt(c)).all()
    sphere = Sphere(c=c).double()
    x = sphere.random(20, 9, 3, dtype=torch.float64)
    mean = sphere.frechet_mean(x)
    pull = sphere.logmap(mean[:, None], x).mean(-2)
    assert (sphere.norm(mean, pull) <= 1e-11 / math.sqrt(c)).all()


def test_no_convergence_says_how_many_how_long_and_how_far():
    x = Lorentz().random_normal(3, 5, 4, std=2.0, dtype=torch.float64)
    with pytest.raises(RuntimeError, match=r"Lorentz.*3 of 3 means .* after 1 steps.*norm is \d"):
        Lorentz().double().frechet_mean(x, max_iter=1, tol=1e-14)
    with pytest.raises(ValueError, match=r"max_iter"):
        Lorentz().frechet_mean(x, max_iter=0)
    loose = Lorentz().double().frechet_mean(x, tol=0.5)
    assert (Lorentz().double().dist(loose, Lorentz().double().frechet_mean(x)) <= 1.0).all()


def test_nan_spoils_its_own_set_only(manifold):
    x = points(manifold, 3, 4, DIM)
    x[1, 2] = math.nan
    for mean in (manifold.frechet_mean(x), manifold.weighted_midpoint(x)):
        assert mean.isnan().all(-1).tolist() == [False, True, False]
        assert mean[::2].isfinite().all()


def test_lorentz_centroid_is_the_normalised_ambient_sum():
    """Law et al. 2019, equation 12; the Einstein midpoint in Klein coordinates is the same."""
    for c in (0.1, 1.0, 10.0):
        x, w = points(Lorentz(c=c).double(), 6, DIM), weights(6)
        total = (w[:, None] * to_ambient(x, c)).sum(0)
        length = (total[0].square() - total[1:].square().sum()).sqrt()
        mean = functional.lorentz_weighted_midpoint(x, c, w)
        assert_close(mean, total[1:] / (math.sqrt(c) * length), rtol=1e-12, atol=0)
        gamma = (1 + c * x.square().sum(-1)).sqrt()
        klein = x / gamma[:, None]
        einstein = ((w * gamma)[:, None] * klein).sum(0) / (w * gamma).sum()
        back = einstein / (1 - c * einstein.square().sum()).sqrt()
        assert_close(mean, back, rtol=1e-11, atol=0)


def test_ball_midpoint_is_the_gyromidpoint():
    """Ungar 2008: half of (sum w l x)/(sum w (l - 1)) with l = 2/(1 - c|x|^2)."""
    for c in (0.1, 1.0, 10.0):
        ball = PoincareBall(c=c).double()
        x, w = points(ball, 6, DIM), weights(6)
        factor = w * 2 / (1 - c * x.square().sum(-1))
        double = (factor[:, None] * x).sum(0) / (factor - w).sum()
        half = double / (1 + (1 - c * double.square().sum()).sqrt())
        assert_close(ball.weighted_midpoint(x, w), half, rtol=1e-12, atol=0)


def test_far_clusters_keep_their_midpoint():
    """At radius 15 the ambient sum's square norm has lost all its digits; ours has not."""
    torch.manual_seed(6)
    m = Lorentz().double()
    middle = m.expmap0(torch.tensor([15.0, 0.0], dtype=torch.float64))
    u = tangent(m, middle.expand(2, 2), 0.1)
    u[1] = -u[0]
    pair = m.expmap(middle, u)
    expected = m.midpoint(*pair)
    assert m.dist(m.weighted_midpoint(pair), expected) <= 1e-8
    assert m.dist(expected, middle) <= 1e-8


def test_antipodal_points_have_no_midpoint():
    for c in (0.1, 1.0, 10.0):
        m = Sphere(c=c)
        x = m.random(3, 4)
        for mean in (m.weighted_midpoint, m.frechet_mean):
            with pytest.raises(ValueError, match=r"Sphere.*2 of 3 sets sum to 0"):
                mean(torch.stack([x, torch.cat([-x[:2], x[2:]])]), dim=0)


def test_tangent_pca_finds_the_subspace(manifold):
    if isinstance(manifold, Product):
        center = manifold.origin(DIM, dtype=torch.float64)
    else:
        center = points(manifold, DIM, radius=0.5)
    torch.manual_seed(7)
    axes = torch.linalg.qr(torch.randn(DIM, 2, dtype=torch.float64))[0].T
    axes = manifold.proju(manifold.origin(2, DIM, dtype=torch.float64), axes)
    spread = torch.tensor([0.3, 0.1], dtype=torch.float64) * scale(manifold)
    z = (torch.randn(30, 2, dtype=torch.float64) * spread) @ axes
    x = manifold.expmap(center, manifold.from_frame(center, z))
    result = tangent_pca(manifold, x, mean=center)
    assert_close(result.variance[2:], torch.zeros_like(result.variance[2:]), rtol=0, atol=1e-12)
    expected = torch.linalg.svdvals(z).square() / 30
    assert_close(result.variance[:2], expected[:2], rtol=1e-9, atol=0)
    two = tangent_pca(manifold, x, k=2, mean=center)
    base = center.expand(2, DIM)
    gram = torch.stack(
        [manifold.inner(base, two.components, v.expand(2, DIM)) for v in two.components]
    )
    assert_close(gram, torch.eye(2, dtype=torch.float64), rtol=0, atol=1e-10)
    scores = two.transform(x)
    assert scores.shape == (30, 2)
    assert_close(scores.square().mean(0), two.variance, rtol=1e-9, atol=0)
    assert (manifold.dist(two.reconstruct(scores), x) <= 1e-9 * scale(manifold)).all()
    assert two.explained.sum().item() == pytest.approx(1.0)
    assert set(two.to_dict()) == {"mean", "components", "variance", "explained"}
    fitted = tangent_pca(manifold, x)
    assert (manifold.dist(fitted.mean, manifold.frechet_mean(x)) <= 1e-12 * scale(manifold)).all()
    assert fitted.transform(x).mean(0).abs().max() <= 1e-11 * scale(manifold)


def test_tangent_pca_in_flat_space_is_pca():
    x = torch.randn(20, 5, dtype=torch.float64)
    result = tangent_pca(Euclidean(), x)
    covariance = (x - x.mean(0)).T @ (x - x.mean(0)) / 20
    assert_close(result.variance, torch.linalg.eigvalsh(covariance).flip(0), rtol=1e-10, atol=0)
    assert_close(result.mean, x.mean(0))
    with pytest.raises(ValueError, match="k must lie between 1 and 5"):
        tangent_pca(Euclidean(), x, k=6)


@law
def test_midpoint_of_the_law_and_of_the_lift_agree(manifold, seed):
    """Every closed form equals the generic one, through the standard model."""
    from manifolds import means

    if isinstance(manifold, Product):
        return
    x = draw(manifold, seed, 1)[0]
    generic = means.weighted_midpoint(manifold, x, None, -2)
    assert (manifold.dist(manifold.weighted_midpoint(x), generic) <= 1e-10 * scale(manifold)).all()
