"""Row and column sums at the edges: empty sides, NaN, denormals, skipped tiles, repeatability."""

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from manifolds import MANIFOLDS, Euclidean, Lorentz, Sphere, UpperHalfSpace
from manifolds.kernels import compiled, library, precision, reductions, tiles
from manifolds.kernels.contrastive import PairSums, logsumexp, softplus_sum
from manifolds.kernels.online import Online


def total(sums: PairSums) -> Tensor:
    return sums.row.sum() + sums.column.sum() - 2 * sums.pair.sum()


@pytest.mark.parametrize("name", ["euclidean", "sphere", "lorentz", "poincare"])
def test_one_row_and_none(name: str, path: str) -> None:
    torch.manual_seed(0)
    m = MANIFOLDS[name]()
    x = m.random_normal(3, 4, std=0.5).requires_grad_()
    one = logsumexp(m, x[:1], x[1:2])
    assert (one.row == -torch.inf).all() and (one.column == -torch.inf).all()
    assert_close(one.pair, -m.dist(x[:1], x[1:2]).double(), rtol=1e-6, atol=0)
    none = logsumexp(m, x[:0], x)
    assert none.row.shape == (0,) and (none.column == -torch.inf).all()
    assert none.pair.shape == (0,)
    assert softplus_sum(m, x, x[:0]).row.tolist() == [0, 0, 0]
    grad = torch.autograd.grad(logsumexp(m, x[:1], x[1:], offset=7).row.sum(), x)[0]
    assert grad[0].norm() > 0 and grad.isfinite().all()
    # A row without a logit has no gradient, and makes no NaN.
    (grad,) = torch.autograd.grad(torch.logaddexp(one.row, one.row.new_zeros(1)).sum(), x)
    assert (grad == 0).all()


@pytest.mark.parametrize("place", ["x", "y"])
def test_nan_stays_in_its_lines(place: str, path: str) -> None:
    torch.manual_seed(0)
    m = Lorentz()
    x, y = m.random_normal(2, 9, 4).unbind(0)
    (x if place == "x" else y)[4, 1] = torch.nan
    sums = logsumexp(m, x, y)
    bad = torch.arange(9) == 4
    row, column = (bad, ~bad) if place == "x" else (~bad, bad)
    others = ~bad
    assert sums.row.isnan()[row].all() and sums.column.isnan()[column].all()
    assert sums.pair.isnan().tolist() == bad.tolist()
    assert (sums.row if place == "x" else sums.column)[others].isfinite().all()


def test_points_off_the_ball_are_nan(path: str) -> None:
    x = torch.tensor([[0.1, 0.2], [0.9, 0.9]])
    sums = logsumexp(MANIFOLDS["poincare"](), x, x.flip(0), offset=9)
    assert sums.row.isnan().tolist() == [True, True]


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The weights dL/du of every tile that backward passes multiply."""
    seen: list[Tensor] = []
    original = reductions.Accumulation._add_products

    def watched(self, rows, columns, weight):
        seen.append(weight.clone())
        return original(self, rows, columns, weight)

    monkeypatch.setattr(reductions.Accumulation, "_add_products", watched)
    return seen


@pytest.mark.parametrize("line", ["row", "column"])
def test_weights_of_a_line_add_up_to_one(line: str, path: str, weights: list[Tensor]) -> None:
    """However large the logits, whose rounding then moves single weights a thousand times more."""
    torch.manual_seed(0)
    x, y = torch.randn(2, 60, 8).unbind(0)
    sums = logsumexp(
        Euclidean(), x.requires_grad_(), y, score="-dist2", scale=1e3, memory="tiled", offset=99
    )
    getattr(sums, line).sum().backward()
    total = -weights[0].double().sum(1 if line == "row" else 0) / 1e3
    assert ((total - 1).abs() <= 8 * torch.finfo(torch.float32).eps).all()


def test_weights_hold_no_denormals(path: str, weights: list[Tensor]) -> None:
    """Weights that float32 holds only as denormals slow the products after them by 10 and more."""
    torch.manual_seed(0)
    for m, std in ((Euclidean(), 1.0), (Lorentz(), 1.0), (Lorentz(), 4.0)):
        score = "-dist2" if isinstance(m, Euclidean) else "-dist"
        x = m.random_normal(2, 60, 8, std=std).requires_grad_()
        for scale in (1.0, 10.0):
            total(logsumexp(m, *x, scale=scale, score=score, memory="tiled")).backward()
    sizes = torch.cat([w.flatten() for w in weights]).abs()
    assert sizes.numel() >= 6 * 60 * 60
    assert ((sizes == 0) | (sizes >= torch.finfo(torch.float32).tiny)).all()
    assert 0 < (sizes == 0).double().mean() < 0.95


def test_tiles_that_cannot_matter_are_skipped(
    path: str, small_tiles: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Far clusters under a sharp temperature: only the blocks of one cluster are computed again."""
    calls = []
    original = reductions.Accumulation.add_compiled

    def counted(self, a, b):
        calls.append((a, b))
        return original(self, a, b)

    monkeypatch.setattr(reductions.Accumulation, "add_compiled", counted)
    torch.manual_seed(0)
    m = Euclidean()
    centers = 100 * torch.eye(4, 6).repeat_interleave(48, 0)
    x, y = (centers + torch.randn(192, 6) for _ in range(2))
    results = []
    for cut in (True, False):
        if not cut:
            monkeypatch.setattr(reductions, "CUT_MARGIN", torch.inf)
        inputs = x.clone().requires_grad_(), y.clone().requires_grad_()
        total(logsumexp(m, *inputs, scale=3.0, memory="tiled")).backward()
        results.append([t.grad for t in inputs])
        if cut:
            assert len(calls) == 4 * 3 * 2  # 3 x 2 tiles of 16 x 24 a cluster of 48
    assert len(calls) == 24 + 12 * 8
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("memory", ["tiled", "auto", "buffer"])
def test_repeats_bit_by_bit(memory: str, path: str, small_tiles: None) -> None:
    torch.manual_seed(0)
    m = Lorentz(learnable=True)
    x, y = m.random_normal(2, 70, 12).unbind(0)

    def once():
        inputs = [t.clone().requires_grad_() for t in (x, y)]
        loss = total(logsumexp(m, *inputs, scale=9.0, memory=memory))
        return loss.detach(), *torch.autograd.grad(loss, [*inputs, m.log_c])

    first = once()
    for _ in range(3):
        for a, b in zip(first, once(), strict=True):
            assert torch.equal(a, b)


def test_passes_do_not_depend_on_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    m = Lorentz()
    x, y = m.random_normal(2, 150, 12).unbind(0)
    one = torch.ones((), dtype=torch.float64)
    p = tiles.build("lorentz", "arcosh", x, y, one, 0, "float32")
    if compiled.Compiled.of(p, -9.0, 0.0, True) is None:
        pytest.skip("no C++ kernels")
    grads = torch.rand(3, 150, dtype=torch.float64).unbind()
    results = []
    for count in (1, 2, 3):
        monkeypatch.setattr(library, "threads", lambda count=count: count)
        sums = reductions.forward(p, -9.0, 0.0, "lse", 150)
        results.append([*sums, *reductions.backward(p, sums, grads, -9.0, 0.0, True)])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert torch.equal(a, b)


def test_kept_products_change_nothing(path: str, small_tiles: None) -> None:
    torch.manual_seed(0)
    m = MANIFOLDS["poincare"](learnable=True)
    x, y = m.random_normal(2, 70, 12).unbind(0)
    results = []
    for memory in ("tiled", "buffer"):
        inputs = [t.clone().requires_grad_() for t in (x, y)]
        loss = total(logsumexp(m, *inputs, memory=memory))
        results.append([loss, *torch.autograd.grad(loss, [*inputs, m.log_c])])
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


def test_both_paths_agree(small_tiles: None, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    m = Lorentz(learnable=True)
    x, y = m.random_normal(2, 70, 12, std=0.5).unbind(0)
    results = []
    for choice in ("torch", "auto"):
        monkeypatch.setenv("MANIFOLDS_KERNELS", choice)
        inputs = [t.clone().requires_grad_() for t in (x, y)]
        loss = total(logsumexp(m, *inputs, memory="tiled", scale=5.0))
        results.append([loss, *torch.autograd.grad(loss, [*inputs, m.log_c])])
    for a, b in zip(*results, strict=True):
        assert (a - b).norm() <= 4e-6 * b.norm()


def test_rounded_bases_give_back_what_they_lost() -> None:
    base = torch.tensor([-123.456789, 87.654321], dtype=torch.float64)
    grad = torch.tensor([0.25, 3.0], dtype=torch.float64)
    made = compiled.lines(base, grad, torch.float32)
    exact = grad * base.exp()
    ours = made.grad.double() * made.base.double().exp()
    assert_close(ours, exact, rtol=1.2e-7, atol=0)


def test_online_sums_take_any_order() -> None:
    torch.manual_seed(0)
    values = 300 * torch.randn(5, 40, dtype=torch.float64)
    values[2] = -torch.inf
    expected = values.logsumexp(1)
    whole, parts = Online(5, values), Online(5, values)
    whole.add(slice(0, 5), values, 1)
    for j in torch.randperm(40).tolist():
        parts.add_single(torch.arange(5), values[:, j])
    for online in (whole, parts):
        assert_close(online.result(), expected, rtol=1e-14, atol=0)


def test_precision_is_checked_and_bf16x3_splits() -> None:
    x = torch.randn(4, 8)
    for name in ("bf16x3", "tf32"):
        with pytest.raises(ValueError, match="CUDA devices only"):
            logsumexp(Euclidean(), x, x, precision=name)
    with pytest.raises(ValueError, match="precision must be one of"):
        logsumexp(Euclidean(), x, x, precision="half")
    # The three products that one bfloat16 product of width 3 d makes, in exact arithmetic.
    torch.manual_seed(0)
    x, y = torch.randn(2, 50, 512)
    split = precision.split_bf16(x, "high").double() @ precision.split_bf16(y, "outer").double().T
    error = (split - x.double() @ y.double().T).abs()
    lengths = torch.outer(x.norm(dim=1), y.norm(dim=1))
    assert (error / lengths).max() < 2**-16
    # On a CPU torch has no such product; without data it has its shape, and where it goes.
    x, y = x.to("meta"), y.to("meta")
    into = torch.empty(60, 99, device="meta")[:50, :50]
    assert precision.product(x, y, "bf16x3", into) is into
    assert precision.product(x, y, "bf16x3").dtype == torch.float32


def test_what_can_t_be_asked(unchecked: None) -> None:
    x = torch.randn(4, 8)
    with pytest.raises(ValueError, match=r"no score 'minkowski' on Sphere; one of dot, -dist"):
        logsumexp(Sphere(), x, x, score="minkowski")
    with pytest.raises(ValueError, match=r"take the logits of all pairs"):
        logsumexp(UpperHalfSpace(), x, x)
    with pytest.raises(ValueError, match="memory must be one of"):
        softplus_sum(Euclidean(), x, x, memory="small")
    bad = ((x, x[:, :3]), (x, x.double()), (x[None], x), (x.long(), x.long()), (x, x.to("meta")))
    for name, sums in (("logsumexp", logsumexp), ("softplus_sum", softplus_sum)):
        for a, b in bad:
            with pytest.raises((ValueError, TypeError), match=rf"^{name}: "):
                sums(Euclidean(), a, b)


def test_tiles_cover_every_pair_once(small_tiles: None) -> None:
    one = torch.ones((), dtype=torch.float64)
    for n, m in ((1, 1), (16, 24), (17, 25), (50, 3)):
        x, y = torch.randn(n, 2), torch.randn(m, 2)
        p = tiles.build("euclidean", "root", x, y, one, 3, "float32")
        seen = torch.zeros(n, m)
        rows, columns = p.blocks()
        for a in rows:
            for b in columns:
                seen[a, b] += 1
                where = p.diagonal(a, b)
                if where is not None:
                    torch.diagonal(seen[a, b], where[0]).add_(10)
        expected = torch.ones(n, m) + 10 * torch.ones(n, m).triu(3).tril(3)
        assert torch.equal(seen, expected)
        assert p.partners() == slice(0, max(0, min(n, m - 3)))
        assert math.prod(p.shape) == n * m
