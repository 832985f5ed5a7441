"""The wrapped normal and the uniform distribution: densities, moments, gradients, bad input."""

import math

import pytest
import torch
from drawing import DIM, points, scale
from torch.testing import assert_close

from manifolds import MANIFOLDS, Euclidean, Lorentz, PoincareBall, Product, Sphere, functional


def dimension(m) -> int:
    return DIM - m.codim


def test_std_is_the_metric_length_of_each_coordinate(manifold):
    std = 0.3 * scale(manifold)
    mean = points(manifold, DIM)
    for center in (None, mean):
        x = manifold.random_normal(4000, DIM, mean=center, std=std, dtype=torch.float64)
        assert manifold.check_point(x)
        base = manifold.origin(DIM, dtype=torch.float64) if center is None else center
        z = manifold.to_frame(base, manifold.logmap(base, x))
        expected = std * math.sqrt(dimension(manifold))
        assert z.square().sum(-1).mean().sqrt().item() == pytest.approx(expected, rel=0.05)
        assert z.mean(0).abs().max().item() <= 5 * std / math.sqrt(4000)
        moments = z.T @ z / 4000
        root = manifold.origin(DIM, dtype=torch.float64)
        free = manifold.proju(root, torch.eye(DIM, dtype=torch.float64))
        assert (moments - std**2 * free).abs().max() <= 0.15 * std**2


def test_density_is_that_of_the_tangent_vector_over_the_volume(manifold):
    """By the change of variables: log |det| of exp in orthonormal frames, from autograd."""
    if isinstance(manifold, Product):
        return  # the sum of its factors, below
    std = 0.4 * scale(manifold)
    mean = points(manifold, DIM, radius=0.5)
    x = manifold.random_normal(3, DIM, mean=mean, std=std, dtype=torch.float64)
    root = manifold.origin(DIM, dtype=torch.float64)
    for point in x:
        z = manifold.to_frame(mean, manifold.logmap(mean, point))

        def ahead(z, point=point):
            y = manifold.expmap(mean, manifold.from_frame(mean, manifold.proju(root, z)))
            return manifold.to_frame(point, manifold.logmap(point, y))

        jacobian = torch.autograd.functional.jacobian(ahead, z)
        free = manifold.codim
        volume = torch.linalg.slogdet(jacobian[free:, free:])[1]
        n = dimension(manifold)
        normal = -z.square().sum() / (2 * std**2) - n / 2 * math.log(2 * math.pi * std**2)
        density = manifold.log_normal_density(point, mean, std)
        assert density.item() == pytest.approx((normal - volume).item(), rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("c", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("name", MANIFOLDS)
def test_density_integrates_to_one_in_two_dimensions(name, c):
    """Quadrature in polar coordinates: volume element sinh, r or sin. On the sphere, also where
    the normal goes round it more than once.
    """
    m = MANIFOLDS[name](**({} if name == "euclidean" else {"c": c})).double()
    d, size = 2 + m.codim, scale(m)
    sphere = m.curvature_sign > 0
    for std in (0.2 * size, 1.5 * size):
        top = math.pi * size if sphere else 12 * std
        nodes = torch.linspace(0, 1, 4001, dtype=torch.float64)[1:] - 0.5 / 4000
        r = top * nodes
        u = torch.zeros(4000, d, dtype=torch.float64)
        u[:, 0 if not sphere else 1] = r
        root = m.origin(d, dtype=torch.float64)
        x = m.expmap0(m.from_frame(root, u))
        z = r / size
        area = {-1: torch.sinh, 0: lambda z: z, 1: torch.sin}[m.curvature_sign](z) * size
        held = m.log_normal_density(x, std=std).exp() * area
        total = 2 * math.pi * held.mean().item() * top
        assert total == pytest.approx(1, abs=2e-3)


def test_density_is_invariant_under_moving_both_points(manifold):
    p, q, x = (points(manifold, DIM, radius=0.5) for _ in range(3))
    std = 0.5 * scale(manifold)
    moved = manifold.expmap(q, manifold.transp(p, q, manifold.logmap(p, x)))
    density = manifold.log_normal_density
    assert_close(density(moved, q, std), density(x, p, std), rtol=1e-10, atol=1e-10)
    origin = manifold.origin(DIM, dtype=torch.float64)
    assert_close(density(x, None, std), density(x, origin, std), rtol=1e-12, atol=1e-12)
    peak = -dimension(manifold) / 2 * math.log(2 * math.pi * std**2)
    assert density(x, x, std).item() == pytest.approx(peak, rel=1e-12)


def test_density_in_flat_space_is_that_of_torch():
    x, mean = torch.randn(2, 6, 3, dtype=torch.float64)
    std = torch.rand(6, dtype=torch.float64) + 0.5
    expected = torch.distributions.Normal(mean, std[:, None]).log_prob(x).sum(-1)
    assert_close(Euclidean().log_normal_density(x, mean, std), expected)


def test_a_product_of_densities(manifold):
    other = Lorentz(c=3.0).double()
    if isinstance(manifold, Product):
        return
    both = Product([manifold, other], dims=[DIM, 2])
    x, y = points(manifold, 5, DIM, radius=0.5), points(other, 5, 2)
    total = manifold.log_normal_density(x, std=0.3) + other.log_normal_density(y, std=0.3)
    assert_close(both.log_normal_density(torch.cat([x, y], -1), std=0.3), total)


def test_samples_carry_gradients_to_mean_and_std_only_when_asked(manifold):
    mean = points(manifold, DIM)
    assert not manifold.random_normal(3, DIM, mean=mean, dtype=torch.float64).requires_grad
    mean.requires_grad_()
    std = torch.full((3,), 0.2 * scale(manifold), dtype=torch.float64, requires_grad=True)

    def loss(mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
        generator = torch.Generator().manual_seed(5)
        return manifold.random_normal(3, DIM, mean=mean, std=std, generator=generator)

    assert torch.autograd.gradcheck(loss, (mean, std), fast_mode=True)
    density = manifold.log_normal_density
    x = points(manifold, 3, DIM)
    assert torch.autograd.gradcheck(lambda m, s: density(x, m, s), (mean, std), fast_mode=True)


def test_a_seed_gives_the_same_sample(manifold):
    def sample() -> torch.Tensor:
        return manifold.random_normal(2, DIM, generator=torch.Generator().manual_seed(3))

    assert torch.equal(sample(), sample())


def test_random_is_uniform_on_the_sphere_and_normal_elsewhere():
    torch.manual_seed(0)
    m = Sphere(c=4.0)
    x = m.random(20000, 3, dtype=torch.float64)
    assert m.double().check_point(x) and x.mean(0).abs().max() < 0.02
    # Archimedes: each coordinate of a uniform point of the 2-sphere is uniform.
    heights = (x[:, 2] * 2).sort().values
    assert (heights - torch.linspace(-1, 1, 20000, dtype=torch.float64)).abs().max() < 0.03
    for other in (Euclidean(), Lorentz(), PoincareBall()):
        torch.manual_seed(1)
        a = other.random(4, 3)
        torch.manual_seed(1)
        assert torch.equal(a, other.random_normal(4, 3))


@pytest.mark.parametrize("name", ["sphere", "lorentz", "poincare"])
def test_functions_agree_with_methods(name):
    m = MANIFOLDS[name](c=2.0).double()
    mean = points(m, 3)
    seeded = {"generator": torch.Generator().manual_seed(1)}
    a = getattr(functional, f"{name}_random_normal")((5, 3), 2.0, mean=mean, std=0.1, **seeded)
    seeded = {"generator": torch.Generator().manual_seed(1)}
    b = m.random_normal(5, 3, mean=mean, std=0.1, **seeded)
    assert_close(a, b, rtol=1e-15, atol=1e-16)
    density = getattr(functional, f"{name}_log_normal_density")
    assert_close(density(a, 2.0, mean, 0.1), m.log_normal_density(a, mean, 0.1))


def test_what_does_not_fit_is_named(manifold, unchecked):
    name = manifold.factors[0].name if isinstance(manifold, Product) else manifold.name
    own = manifold.name
    with pytest.raises(ValueError, match=rf"{own}.*std must be finite and not negative, got -1"):
        manifold.random_normal(3, DIM, std=-1.0)
    with pytest.raises(ValueError, match=rf"{own}.*std must broadcast to \(3,\), got \(2,\)"):
        manifold.random_normal(3, DIM, std=torch.ones(2))
    mean = points(manifold, 2, DIM)
    with pytest.raises(ValueError, match=rf"{own}.*mean must broadcast"):
        manifold.random_normal(3, DIM, mean=mean)
    with pytest.raises(ValueError, match=rf"{name}.*std must be positive, got 0"):
        manifold.log_normal_density(mean, std=0.0)
    with pytest.raises(ValueError, match=r"size must"):
        manifold.random_normal()
