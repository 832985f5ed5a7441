"""Errors that resampling gives, against what is known of the distributions."""

import math

import pytest
import torch

from geomclip import resampling
from geomclip.statistics import share


def draw(n, seed=0):
    return torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_mean_has_the_error_of_its_definition():
    found = resampling.mean(torch.tensor([1.0, 2.0, 3.0, 6.0]))
    assert found.value == 3 and found.n == 4
    assert found.error == pytest.approx(math.sqrt(14 / 3 / 4))
    assert resampling.mean(torch.tensor([2.0])).error is None


def test_the_median_has_the_bootstraps_error_without_drawing_samples():
    x = draw(400)
    found = resampling.quantile(x)
    assert found.value == pytest.approx(x.quantile(0.5).item())
    drawn = resampling.bootstrap(lambda rows: x[rows].median().item(), 400, replicates=2000)
    assert found.error == pytest.approx(drawn.error, rel=0.1)


def test_the_bootstrap_of_a_mean_is_its_standard_error_also_where_fewer_are_drawn(monkeypatch):
    x = draw(3000)
    expected = resampling.mean(x).error
    for largest in (50_000, 500):
        monkeypatch.setattr(resampling, "LARGEST", largest)
        found = resampling.bootstrap(lambda rows: x[rows].mean().item(), 3000, replicates=1000)
        assert found.error == pytest.approx(expected, rel=0.08)


def test_the_jackknife_takes_the_bias_off_a_squared_mean():
    # mean(x)^2 is too large by var / n, exactly what leaving one out at a time corrects.
    x = draw(50) + 0.1
    n = len(x)
    found = resampling.jackknife(
        x.mean().item() ** 2, [x[torch.arange(n) != i].mean().item() ** 2 for i in range(n)], n
    )
    assert found.value == pytest.approx(x.mean().item() ** 2 - x.var().item() / n)


def test_the_auc_counts_ties_as_half_and_has_the_error_of_its_sampling_distribution():
    assert resampling.auc(torch.tensor([1.0, 2.0]), torch.tensor([1.0])).value == 0.75
    found = [resampling.auc(draw(60, 2 * s) + 1, draw(40, 2 * s + 1)) for s in range(200)]
    spread = torch.tensor([f.value for f in found]).std().item()
    mean = sum(f.error for f in found) / len(found)
    assert mean == pytest.approx(spread, rel=0.15)


def test_blocks_hold_every_row_once():
    parts = resampling.blocks(45)
    assert len(parts) == 20 and {len(p) for p in parts} == {2, 3}
    assert torch.cat(parts).sort().values.tolist() == list(range(45))
    assert len(resampling.blocks(7)) == 3


def test_a_share_of_none_has_an_error():
    found = share(0, 10)
    assert found.value == 0 and found.error > 0.05 and found.low < 0 < found.high
