"""geoopt's optimizers step points of our manifolds: dense, sparse, line search."""

import copy
import io
import pickle
import pydoc

import geoopt
import pytest
import torch
from spaces import SPACES, make
from torch import nn

from manifolds.optim import RiemannianLineSearch

DENSE = {
    "adam-amsgrad-stabilize": (
        geoopt.optim.RiemannianAdam,
        {"lr": 0.3, "amsgrad": True, "stabilize": 5},
    ),
    "sgd-momentum": (geoopt.optim.RiemannianSGD, {"lr": 0.1, "momentum": 0.5, "stabilize": 5}),
    "sgd-nesterov": (geoopt.optim.RiemannianSGD, {"lr": 0.1, "momentum": 0.5, "nesterov": True}),
}
SPARSE = {
    "adam": (geoopt.optim.SparseRiemannianAdam, {"lr": 0.3}),
    "sgd-momentum": (geoopt.optim.SparseRiemannianSGD, {"lr": 0.1, "momentum": 0.5}),
}


def pair(m, n=5, std=0.5):
    start, target = m.random_normal(2, n, 4, std=std).detach()
    return start, target


@pytest.mark.parametrize("how", DENSE)
@pytest.mark.parametrize("name", SPACES)
def test_dense_ones_find_the_point(name, how):
    torch.manual_seed(0)
    m = make(name)
    start, target = pair(m)
    point = geoopt.ManifoldParameter(start, manifold=m)
    optimizer, options = DENSE[how]
    steps = optimizer([point], **options)
    schedule = torch.optim.lr_scheduler.ExponentialLR(steps, 0.85)
    before = m.dist2(point, target).sum().item()
    for _ in range(12):
        steps.zero_grad()
        m.dist2(point, target).sum().backward()
        steps.step()
        schedule.step()
    assert m.dist2(point, target).sum().item() < 0.2 * before
    assert m.check_point(point) and point.dtype == torch.float32


@pytest.mark.parametrize("how", SPARSE)
@pytest.mark.parametrize("name", SPACES)
def test_sparse_ones_move_the_rows_that_were_used(name, how):
    torch.manual_seed(0)
    m = make(name)
    start, target = pair(m, n=6)
    embedding = nn.Embedding(6, 4, sparse=True)
    embedding.weight = geoopt.ManifoldParameter(start.clone(), manifold=m)
    optimizer, options = SPARSE[how]
    steps = optimizer(embedding.parameters(), **options)
    used, unused = torch.tensor([0, 2, 5]), torch.tensor([1, 3, 4])
    before = m.dist2(start, target)
    for _ in range(12):
        steps.zero_grad()
        m.dist2(embedding(used), target[used]).sum().backward()
        steps.step()
        steps.param_groups[0]["lr"] *= 0.85
    weight = embedding.weight.detach()
    assert m.dist2(weight, target)[used].sum() < 0.2 * before[used].sum()
    assert torch.equal(weight[unused], start[unused])
    assert m.check_point(weight)


def searched(optimizer, m, returned, steps=3):
    """Line search for the points that minimise d(x, a)^2 + 3 d(x, b)^2.

    Returns the search, the points, and the values above the least possible one, 3/4 d(a, b)^2, as
    shares of the first.
    """
    torch.manual_seed(0)
    start, a, b = m.random_normal(3, 5, 4, std=0.5, dtype=torch.float64).detach()
    point = geoopt.ManifoldParameter(start, manifold=m)
    search = optimizer([point])

    def closure():
        search.zero_grad()
        loss = (m.dist2(point, a) + 3 * m.dist2(point, b)).sum()
        loss.backward()
        return returned(loss)

    least = 0.75 * m.dist2(a, b).sum().item()
    loss = closure()
    first = (loss.item() if isinstance(loss, torch.Tensor) else loss) - least
    values = [search.step(closure) for _ in range(steps)]
    assert all(isinstance(v, float) for v in values)
    return search, point, [(v - least) / first for v in values]


@pytest.mark.parametrize(
    ("method", "conjugate"), [("armijo", "steepest"), ("wolfe", "fr"), ("armijo", "pr")]
)
@pytest.mark.parametrize("name", SPACES)
def test_line_search_takes_a_closure_that_returns_its_loss(name, method, conjugate):
    m = make(name).double()

    def optimizer(params):
        return RiemannianLineSearch(params, line_search_method=method, cg_method=conjugate)

    # In flat space the first step is exact, and a second finds nothing to do.
    steps = 1 if name == "euclidean" else 3
    search, point, above = searched(optimizer, m, lambda loss: loss, steps)
    assert above[-1] < 0.1
    assert m.check_point(point)
    state = search.state[point].values()
    assert not any(isinstance(t, torch.Tensor) and t.requires_grad for t in state)


@pytest.mark.parametrize("name", [n for n in SPACES if n != "euclidean"])
def test_geoopts_own_line_search_takes_a_float(name):
    m = make(name).double()
    ours = searched(RiemannianLineSearch, m, lambda loss: loss)
    theirs = searched(geoopt.optim.RiemannianLineSearch, m, lambda loss: loss.item())
    assert torch.equal(ours[1], theirs[1]) and ours[2] == theirs[2]


@pytest.mark.parametrize("how", DENSE)
@pytest.mark.parametrize("name", SPACES)
def test_their_state_goes_through_a_file_and_a_copy(name, how):
    torch.manual_seed(0)
    m = make(name)
    start, target = pair(m)
    optimizer, options = DENSE[how]

    def run(point, steps, count):
        for _ in range(count):
            steps.zero_grad()
            point.manifold.dist2(point, target).sum().backward()
            steps.step()

    point = geoopt.ManifoldParameter(start, manifold=m)
    steps = optimizer([point], **options)
    run(point, steps, 3)
    file = io.BytesIO()
    torch.save(
        {"point": point.detach().as_subclass(torch.Tensor), "state": steps.state_dict()}, file
    )
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    twin = geoopt.ManifoldParameter(saved["point"], manifold=m)
    resumed = optimizer([twin], **options)
    resumed.load_state_dict(saved["state"])
    copied, copied_steps = copy.deepcopy((point, steps))
    assert copied.manifold is not m
    for p, o in ((point, steps), (twin, resumed), (copied, copied_steps)):
        run(p, o, 3)
    # Adam's count comes back as a float32 tensor, in which 1 - 0.999^4 keeps only 1e-5.
    assert torch.allclose(twin, point, rtol=0, atol=3e-5)
    assert torch.allclose(copied, point, rtol=0, atol=3e-5)


def test_a_whole_parameter_cannot_be_loaded_with_weights_only():
    """geoopt pickles a functools.partial, which no list of safe globals makes loadable."""
    point = geoopt.ManifoldParameter(torch.zeros(2, 3), manifold=make("lorentz"))
    file = io.BytesIO()
    torch.save(point, file)
    file.seek(0)
    names = torch.serialization.get_unsafe_globals_in_checkpoint(file)
    allowed = [pydoc.locate(name) for name in names]
    assert geoopt.ManifoldParameter in allowed
    file.seek(0)
    with (
        torch.serialization.safe_globals(allowed),
        pytest.raises(pickle.UnpicklingError, match=r"functools\.partial"),
    ):
        torch.load(file, weights_only=True)
    file.seek(0)
    assert torch.equal(torch.load(file, weights_only=False), point)
