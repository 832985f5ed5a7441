"""A product of manifolds through a whole run: config, checkpoint, resume, evaluation, loading."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.testing import assert_close

import geomclip
from geomclip.errors import RequestError
from geomclip.train import train
from geomclip.train.log import read_metrics

NAME = "lorentz8xsphere4xpoincare4"


class Stop(Exception):
    """What interrupts the run of the test."""


def test_a_product_trains_stops_resumes_and_is_evaluated(
    tmp_path: Path, small: SimpleNamespace, splits: Any, weights: Any, same: Any
) -> None:
    config = small.config(geometry=NAME, lr=1e-2)
    whole = train(config, tmp_path / "whole", splits=splits)

    def stop(record: dict[str, Any]) -> None:
        if record["step"] == 16:
            raise Stop

    with pytest.raises(Stop):
        train(config, tmp_path / "again", splits=splits, progress=stop)
    train(config, tmp_path / "again", splits=splits, resume=True)
    assert same(weights(whole.out), weights(tmp_path / "again"))

    records = read_metrics(whole.out / "metrics.jsonl")
    assert records[-1]["contrastive"] < records[0]["contrastive"]
    curvatures = {"factors.0.c", "factors.1.c", "factors.2.c"}
    assert all(curvatures <= r.keys() and r["far"] == 0 for r in records)
    assert all(records[-1][name] != 1 for name in curvatures)

    model = geomclip.load(whole.out)
    assert repr(model.geometry.manifold).startswith("Product(8: Lorentz(c=")
    points = model.encode_text(["a cat", "a red apple"])
    assert model.geometry.manifold.check_point(points)
    assert_close(model.geometry.root_distance(points), model.geometry.manifold.dist0(points))
    result = geomclip.evaluate.evaluate(model, splits)
    metrics = {m.metric: m.value for m in result.rows}
    assert 0 <= metrics["i2t_r10"] <= 1 and "root_tau" in metrics
    assert not any(name.startswith("cone") for name in metrics)


def test_a_product_that_does_not_fit_is_a_wrong_request(
    tmp_path: Path, small: SimpleNamespace, splits: Any
) -> None:
    with pytest.raises(RequestError, match=r"lorentz8xsphere9 has 17 coordinates.* have 16") as bad:
        train(small.config(geometry="lorentz8xsphere9"), tmp_path / "run", splits=splits)
    assert "--model.embed-dim 17" in bad.value.how
    with pytest.raises(RequestError, match=r"lorentz8xsphere8 has no entailment cones"):
        small.config(geometry="lorentz8xsphere8", entailment=0.2)
    for name in (
        "lorentz8",
        "lorentz8xtorus8",
        "lorentz8x",
        "lorentzxsphere8",
        "lorentz08xsphere8",
    ):
        with pytest.raises(RequestError, match=f'there is no "{name}"') as unknown:
            small.config(geometry=name)
        assert "lorentz256xsphere256" in unknown.value.how


def test_far_points_of_a_product_are_counted_by_factor() -> None:
    from geomclip.train.telemetry import count_far

    g = geomclip.build_geometry("lorentz2xlorentz2xeuclidean2", 6, c_init=4.0)
    u = torch.zeros(4, 6, dtype=torch.float64)
    u[1, 0] = u[2, 2] = 21.0  # sqrt(c) times that is 42
    u[3, 4] = 1e6  # nothing is lost in flat space
    assert count_far(g, g.manifold.expmap0(u)) == 2
