"""Kendall's tau-b against SciPy, and the label paths behind root_tau."""

import itertools

import pytest
import scipy.stats
import torch

from geomclip.evaluate import kendall_tau_b, root_tau
from geomclip.evaluate.hierarchy import ancestors, chain


def test_tau_b_of_every_pattern_of_four_values_equals_scipy():
    y = torch.tensor(list(itertools.product(range(4), repeat=4)), dtype=torch.float64)
    x = torch.arange(4, dtype=torch.float64).expand_as(y)
    ours = kendall_tau_b(x, y)
    for row, value in zip(y, ours, strict=True):
        if len(row.unique()) == 1:  # SciPy's NaN: there is no order to agree with
            assert value == 0
        else:
            theirs = scipy.stats.kendalltau(range(4), row.numpy(), variant="b").statistic
            assert value.item() == pytest.approx(theirs, abs=1e-14)


@pytest.mark.parametrize("k", [2, 5, 9])
def test_tau_b_with_ties_on_both_sides_equals_scipy(k):
    generator = torch.Generator().manual_seed(k)
    x, y = torch.randint(0, 4, (2, 100, k), generator=generator).double()
    for a, b, value in zip(x, y, kendall_tau_b(x, y), strict=True):
        if len(a.unique()) > 1 and len(b.unique()) > 1:
            theirs = scipy.stats.kendalltau(a.numpy(), b.numpy()).statistic
            assert value.item() == pytest.approx(theirs, abs=1e-14)
        else:
            assert value == 0


def test_root_tau_of_written_out_orders():
    group, subgroup = torch.tensor([1.0, 4, 2]), torch.tensor([2.0, 3, 1])
    name, image = torch.tensor([3.0, 2, 3]), torch.tensor([4.0, 1, 4])
    # All in order; all reversed; one of six pairs the wrong way round: (5 - 1) / 6.
    torch.testing.assert_close(
        root_tau([group, subgroup, name, image]), torch.tensor([1.0, -1, 4 / 6]).double()
    )


def test_distances_too_close_to_subtract_still_have_an_order():
    tiny = torch.tensor([[1e-45, 2.8e-45, 4.2e-45]])
    assert kendall_tau_b(torch.arange(3.0)[None], tiny).item() == 1


def test_levels_of_a_path():
    assert ancestors(()) == {}
    assert ancestors(("cat",)) == {"group": "cat"}
    assert ancestors(("animal", "cat")) == {"group": "animal"}
    assert ancestors(("animal", "cat", "tabby")) == {"group": "animal", "subgroup": "cat"}
    assert ancestors(("a", "b", "c", "d")) == {"group": "a", "subgroup": "b"}


def test_chain_names_a_picture_once():
    assert chain(("animal", "cat", "Tabby"), "tabby") == ("animal", "cat", "Tabby")
    assert chain(("animal", "cat"), "a tabby asleep") == ("animal", "cat", "a tabby asleep")
    assert chain((), "a tabby") == ("a tabby",)
