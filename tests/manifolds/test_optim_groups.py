"""Which parameters an optimizer steps, and how it treats each."""

import io

import geoopt
import pytest
import torch
from optim_model import Model, run
from torch import nn

from manifolds import MANIFOLDS, Lorentz
from manifolds.optim import RiemannianAdam, param_groups


def test_every_parameter_is_in_the_group_of_its_kind():
    model = Model(Lorentz(learnable=True))
    groups = param_groups(
        model, lr=1.0, weight_decay=0.1, point_lr=2.0, point_decay=0.2, scalar_lr=3.0
    )
    place = {id(p): group for group in groups for p in group["params"]}
    expected = {
        "points": ("points", 2.0, 0.2),
        "manifold.log_c": ("curvature", 1.0, 0.0),
        "logit_scale": ("scalars", 3.0, 0.0),
        "linear.weight": ("decay", 1.0, 0.1),
        "linear.bias": ("no_decay", 1.0, 0.0),
        "norm.weight": ("no_decay", 1.0, 0.0),
        "norm.bias": ("no_decay", 1.0, 0.0),
        "bilinear.weight": ("decay", 1.0, 0.1),
        "bilinear.bias": ("no_decay", 1.0, 0.0),
    }
    assert {name for name, _ in model.named_parameters()} == expected.keys()
    for name, p in model.named_parameters():
        group = place[id(p)]
        assert (group["name"], group["lr"], group["weight_decay"]) == expected[name], name
    assert sum(len(group["params"]) for group in groups) == len(expected)


def test_what_does_not_learn_is_left_out():
    model = Model(Lorentz(learnable=False))
    assert "curvature" not in {group["name"] for group in param_groups(model)}
    with pytest.raises(ValueError, match=r"no parameter of Model requires a gradient"):
        param_groups(model.requires_grad_(False))


def test_a_manifold_that_was_not_registered_is_named():
    module = nn.Module()
    module.points = geoopt.ManifoldParameter(torch.zeros(2, 3), manifold=Lorentz(learnable=True))
    with pytest.raises(ValueError, match=r"points lies on Lorentz.*module\.manifold = manifold"):
        param_groups(module)


def test_the_groups_suit_any_torch_optimizer():
    model = Model(MANIFOLDS["euclidean"]())
    optimizer = torch.optim.AdamW(param_groups(model, weight_decay=0.1))
    run(model, optimizer, 2)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    optimizer.load_state_dict(torch.load(file, weights_only=True))


@pytest.mark.parametrize("option", [{"point_eps": 0.0}, {"max_radius": -1.0}, {"lr": -1.0}])
def test_options_out_of_range_are_refused(option):
    with pytest.raises(ValueError, match=r"point_eps|max_radius|learning rate"):
        RiemannianAdam([torch.zeros(2, requires_grad=True)], **option)
