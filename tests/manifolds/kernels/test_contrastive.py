"""Row and column sums of pairwise logits equal the plain n x m formula in float64."""

import math

import pytest
import torch
from separated import separated
from torch import Tensor
from torch.testing import assert_close

from manifolds import MANIFOLDS, Manifold, functional
from manifolds.kernels import contrastive, precision, rounding
from manifolds.kernels.contrastive import PairSums, logsumexp, softplus_sum

pytestmark = pytest.mark.usefixtures("small_tiles")

EPS = 1.2e-7
CASES = [
    (name, score)
    for name in ("euclidean", "sphere", "lorentz", "poincare")
    for score in contrastive.SCORES
    if contrastive.supports(MANIFOLDS[name](), score)
]


def build(name: str, dtype: torch.dtype, c: float = 0.7) -> Manifold:
    make = MANIFOLDS[name]
    return (make() if name == "euclidean" else make(c=c, learnable=True)).to(dtype)


def definition(
    m: Manifold, x: Tensor, y: Tensor, score: str, scale: Tensor, bias: Tensor | None, offset: int
) -> PairSums:
    """The sums from the matrix of all logits, in float64."""
    if score == "dot":
        logits = x @ y.mT
    elif score == "minkowski":
        logits = functional.lorentz_pairwise_inner(x, y, m.c)
    else:
        logits = -(m.pairwise_dist if score == "-dist" else m.pairwise_dist2)(x, y)
    logits = logits * scale + (0 if bias is None else bias)
    partners = torch.ones_like(logits, dtype=torch.bool).triu(offset).tril(offset)
    others = logits.masked_fill(partners, -torch.inf)
    pair = logits[partners]
    if bias is not None:
        return PairSums(
            torch.logaddexp(others, torch.zeros_like(others)).sum(1), others.new_zeros(0), pair
        )
    return PairSums(others.logsumexp(1), others.logsumexp(0), pair)


def cloud(m: Manifold, n: int, dim: int, std: float = 0.5) -> Tensor:
    return m.random_normal(n, dim, std=std, dtype=torch.float64)


def check(
    name: str,
    score: str,
    x: Tensor,
    y: Tensor,
    *,
    dtype: torch.dtype = torch.float32,
    scale: float = 7.0,
    softplus: bool = False,
    offset: int = 0,
    memory: str = "tiled",
    eps: float = 32 * EPS,
) -> None:
    """Values, and gradients of a weighted sum, against the definition in float64.

    Gradients: x and y within eps of the largest row, scalars within eps of what they are made of.
    """
    narrow, wide = build(name, dtype), build(name, torch.float64)
    x, y = x.to(dtype), y.to(dtype)
    weights = torch.randn(3, max(len(x), len(y)), dtype=torch.float64)
    results, grads = [], []
    for m, make in ((narrow, lambda t: t.clone()), (wide, lambda t: t.double())):
        inputs = [make(t).requires_grad_() for t in (x, y)]
        scalars = [make(torch.tensor(v, dtype=dtype)).requires_grad_() for v in (scale, -0.3)]
        bias = scalars[1] if softplus else None
        if m is wide:
            sums = definition(m, *inputs, score, scalars[0], bias, offset)
        elif softplus:
            options = {"score": score, "offset": offset, "memory": memory}
            sums = softplus_sum(m, *inputs, scale=scalars[0], bias=scalars[1], **options)
        else:
            options = {"score": score, "offset": offset, "memory": memory}
            sums = logsumexp(m, *inputs, scale=scalars[0], **options)
        parts = [t for t in (sums.row, sums.column, sums.pair) if t.numel()]
        total = sum((t * w[: len(t)]).sum() for t, w in zip(parts, weights, strict=False))
        results.append(parts)
        wanted = [*inputs, *scalars, *m.parameters()]
        grads.append(torch.autograd.grad(total, wanted, allow_unused=True))
    largest = max(t.detach().abs().max().item() for t in results[1])
    for ours, plain in zip(*results, strict=True):
        assert_close(ours, plain, rtol=eps, atol=eps * largest)
    for place, (ours, plain) in enumerate(zip(*grads, strict=True)):
        if plain is None or ours is None:
            assert plain is None or plain.abs().max() == 0
            continue
        assert ours.isfinite().all()
        # Scalars add up n m terms of both signs.
        size = plain.norm(dim=-1).max() if place < 2 else plain.abs() + len(x) * largest
        assert (ours - plain).norm() <= eps * size * (math.sqrt(len(x)) if place < 2 else 1)


@pytest.mark.parametrize("softplus", [False, True])
@pytest.mark.parametrize(("name", "score"), CASES)
def test_is_the_plain_formula(name: str, score: str, softplus: bool, path: str) -> None:
    torch.manual_seed(0)
    m = build(name, torch.float64)
    x, y = cloud(m, 41, 9), cloud(m, 41, 9)
    y[:20] = x[:20]  # partners that coincide
    y[21] = x[20]  # and others
    check(name, score, x, y, softplus=softplus)
    check(name, score, x, y, softplus=softplus, memory="buffer")


@pytest.mark.parametrize(("name", "score"), CASES)
def test_is_the_plain_formula_in_float64(name: str, score: str) -> None:
    torch.manual_seed(1)
    m = build(name, torch.float64)
    x, y = cloud(m, 41, 9), cloud(m, 41, 9)
    y[21] = x[20]
    check(name, score, x, y, dtype=torch.float64, eps=1e-13)


@pytest.mark.parametrize("d", [1, 2, 33, 4096])
@pytest.mark.parametrize("name", ["euclidean", "sphere", "lorentz", "poincare"])
def test_any_dimension_and_ragged_sizes(name: str, d: int, path: str) -> None:
    if name == "sphere" and d == 1:
        pytest.skip("two points")
    torch.manual_seed(0)
    m = build(name, torch.float64)
    for n, columns in ((1, 7), (17, 1), (19, 29)):
        x, y = cloud(m, n, d, 1 / math.sqrt(d)), cloud(m, columns, d, 1 / math.sqrt(d))
        check(name, "-dist", x, y, softplus=n == 17)


@pytest.mark.parametrize("offset", [0, 5, -7, 30, 100])
@pytest.mark.parametrize("softplus", [False, True])
def test_partners_may_lie_anywhere(offset: int, softplus: bool, path: str) -> None:
    torch.manual_seed(0)
    m = build("lorentz", torch.float64)
    x, y = cloud(m, 33, 5), cloud(m, 50, 5)
    check("lorentz", "-dist", x, y, softplus=softplus, offset=offset)


@pytest.mark.parametrize("spread", [1e-1, 1e-3, 1e-6])
@pytest.mark.parametrize(("name", "score"), [c for c in CASES if c[1] != "dot"])
def test_close_pairs_keep_their_digits(name: str, score: str, spread: float, path: str) -> None:
    """A few pairs of a block are close, or all: the second is computed in float64."""
    torch.manual_seed(0)
    m = build(name, torch.float64)
    center = cloud(m, 1, 24, 1 / math.sqrt(24))
    step = m.proju(center, torch.randn(80, 24, dtype=torch.float64) / math.sqrt(24))
    together = m.expmap(center, spread * step)
    # Logits of about 7 whatever the spread.
    scale = {"-dist": 1 / spread, "-dist2": spread**-2, "minkowski": 1.0}[score] * 3
    check(name, score, together[:40], together[40:], scale=scale, eps=128 * EPS)
    apart = cloud(m, 80, 24, 0.5)
    apart[[3, 50]] = together[[0, 1]]
    check(name, score, apart[:40], apart[40:], eps=64 * EPS)


@pytest.mark.parametrize("features", ["normal", "signs"])
@pytest.mark.parametrize("name", ["euclidean", "lorentz"])
def test_the_closest_pairs_that_products_may_give(name: str, features: str, path: str) -> None:
    """Terms of one sign round in proportion to their sum, terms of one size (±) all alike."""
    n, m = 16, build(name, torch.float64)
    for d in (64, 384, 4096):
        share = precision.closeness("float32", d, torch.device("cpu"))
        apart = share * torch.linspace(1.1, 2.5, n, dtype=torch.float64)
        worst = 0.0
        for size in (0.6, 0.9):
            x, y = separated(features, d, apart)
            x, y = (m.projx(p * size).float() for p in (x, y))
            # So sharp that the nearest decides, and that is the partner.
            sharp = 1e4
            found = logsumexp(m.float(), x, y.roll(1, 0), offset=n, scale=sharp).row / -sharp
            expected = m.double().dist(x.double(), y.double())
            worst = max(worst, ((found - expected).abs() / expected).max().item())
        assert worst <= 64 * EPS, f"d={d}: {worst / EPS:.0f} eps"


@pytest.mark.parametrize("name", ["euclidean", "sphere", "lorentz", "poincare"])
def test_points_whose_coordinates_are_turned(name: str, path: str) -> None:
    x, y = separated("signs", 33, torch.linspace(0.1, 1, 19, dtype=torch.float64))
    m = build(name, torch.float64)
    x, y = (m.projx(p * 0.8) for p in (x, y))
    assert rounding.equal_terms(x, y) and not rounding.equal_terms(x, torch.randn(19, 33))
    check(name, "-dist", x, y)


@pytest.mark.parametrize("radius", [6.0, 12.0, 20.0, 40.0])
def test_far_points(radius: float, path: str) -> None:
    """Beyond radius 20 slopes leave float32's range, and the tiles become float64."""
    torch.manual_seed(0)
    m = build("lorentz", torch.float64, 1.0)
    u = torch.nn.functional.normalize(torch.randn(60, 7, dtype=torch.float64), dim=-1)
    x, y = m.expmap0(u[:30] * radius), m.expmap0(u[30:] * radius * 0.9)
    sums = []
    for space, points in ((m.float(), (x.float(), y.float())), (m.double(), (x, y))):
        inputs = [p.detach().requires_grad_() for p in points]
        if space.c.dtype == torch.float64 and sums:
            result = definition(space, *inputs, "-dist", torch.tensor(1.0), None, 0)
        else:
            result = logsumexp(space, *inputs, scale=1.0, memory="tiled")
        loss = (result.row + result.column - 2 * result.pair).sum()
        sums.append((loss, *torch.autograd.grad(loss, inputs)))
    assert_close(sums[0][0], sums[1][0], rtol=16 * EPS, atol=0)
    for ours, plain in zip(sums[0][1:], sums[1][1:], strict=True):
        assert ((ours - plain).norm(dim=-1) <= 1e-4 * plain.norm(dim=-1)).all()


def test_antipodes(path: str) -> None:
    torch.manual_seed(0)
    m = build("sphere", torch.float64)
    x = cloud(m, 40, 6)
    y = -x.roll(1, 0) + 1e-4 * torch.randn(40, 6, dtype=torch.float64)
    y[:5] = -x[1:6]
    check("sphere", "-dist", x, m.projx(y), eps=64 * EPS)


def test_small_losses_keep_their_digits(path: str) -> None:
    """log(1 + exp(row - pair)) of a nearly solved batch, where row and pair are about -100."""
    m = build("euclidean", torch.float32)
    x = 100 * torch.eye(30)
    y = x + 0.01 * torch.randn(30, 30)
    sums = logsumexp(m, x, y, score="-dist", scale=0.4, memory="tiled")
    exact = definition(m, x.double(), y.double(), "-dist", torch.tensor(0.4), None, 0)
    loss, wanted = (torch.log1p((s.row - s.pair).exp()) for s in (sums, exact))
    assert (wanted < 1e-15).all()
    assert_close(loss, wanted, rtol=1e-4, atol=0)


def test_mpmath_value() -> None:
    """Three points on a line of the hyperboloid, from distances known exactly."""
    m = build("lorentz", torch.float64, 1.0)
    u = torch.tensor([[0.0, 0.0], [1.0, 0.0], [3.0, 0.0]], dtype=torch.float64)
    x = m.expmap0(u)
    sums = logsumexp(m, x, x, scale=2.0)
    expected = [
        math.log(math.exp(-2) + math.exp(-6)),
        math.log(math.exp(-2) + math.exp(-4)),
        math.log(math.exp(-6) + math.exp(-4)),
    ]
    assert_close(sums.row, torch.tensor(expected, dtype=torch.float64), rtol=1e-14, atol=0)
    assert_close(sums.column, sums.row, rtol=1e-14, atol=0)
    assert (sums.pair == 0).all()
    sums = softplus_sum(m, x[:1], x[1:], scale=1.0, bias=0.5, offset=5)
    expected = [math.log1p(math.exp(-0.5)) + math.log1p(math.exp(-2.5))]
    assert_close(sums.row, torch.tensor(expected, dtype=torch.float64), rtol=1e-14, atol=0)
    assert sums.pair.shape == (0,)
