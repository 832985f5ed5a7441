"""An optimizer beside its points in copies and files."""

import copy
import io
import pickle

import geoopt
import pytest
import torch
from optim_model import Model, run
from spaces import SPACES, make

from manifolds.optim import RiemannianAdam


def through_file(name, model, optimizer):
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    torch.manual_seed(7)
    twin = Model(make(name, learnable=True))
    twin.load_state_dict(state["model"])
    steps = RiemannianAdam(twin, lr=0.05, weight_decay=0.01)
    steps.load_state_dict(state["optimizer"])
    return twin, steps


COPIES = {
    "file": through_file,
    "deepcopy": lambda name, *pair: copy.deepcopy(pair),
    "pickle": lambda name, *pair: pickle.loads(pickle.dumps(pair)),
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("name", SPACES)
def test_a_copy_goes_on_bit_for_bit(name, how):
    torch.manual_seed(0)
    model = Model(make(name, learnable=True))
    optimizer = RiemannianAdam(model, lr=0.05, weight_decay=0.01)
    run(model, optimizer, 2)
    twin, steps = COPIES[how](name, model, optimizer)
    assert twin.points.manifold is twin.manifold and twin.manifold is not model.manifold
    assert isinstance(twin.points, geoopt.ManifoldParameter)
    assert not any(isinstance(t, geoopt.ManifoldTensor) for t in model.state_dict().values())
    for pair in ((model, optimizer), (twin, steps)):
        run(*pair, 2)
    for (n, p), q in zip(model.named_parameters(), twin.parameters(), strict=True):
        assert torch.equal(p, q), n
    assert steps.last_report == optimizer.last_report
