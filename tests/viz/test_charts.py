"""Charts: valid Plotly, the right numbers, and a table that says the same."""

import math
import random

import comparing
import numpy
import plotly.graph_objects as go
import pytest

from geomclip.results import Variant
from geomclip.viz import curves, distances, dots


@pytest.fixture(scope="module")
def charts(full):
    return curves.curves(full) + distances.root_distances(full)


def test_every_specification_is_a_plotly_figure(charts):
    for chart in charts:
        figure = go.Figure(chart.spec)
        assert len(figure.data) == len(chart.spec["data"]) > 0


def test_every_chart_has_a_table_and_a_description(charts):
    assert len({chart.id for chart in charts}) == len(charts)
    for chart in charts:
        assert chart.title and chart.alt
        assert chart.table.rows
        assert {len(row) for row in chart.table.rows} == {len(chart.table.columns)}


def test_only_what_was_logged_is_drawn():
    plain = comparing.made_up({Variant("clip"): {"i2t_r10": [0.4]}})
    assert [c.id for c in curves.curves(plain)] == ["curve-contrastive", "curve-logit-scale"]


def test_cones_are_drawn_for_entailed_runs_only(full):
    chart = next(c for c in curves.curves(full) if c.id == "curve-entailment")
    assert [t["name"] for t in chart.spec["data"] if t.get("name")] == ["MERU λ\u202f0.2"]


def test_the_chance_line_is_the_logarithm_of_the_batch(full):
    loss = curves.curves(full)[0]
    assert loss.spec["layout"]["shapes"][0]["y0"] == pytest.approx(math.log(128))
    assert "ln 128" in loss.spec["layout"]["annotations"][0]["text"]


def test_a_wild_first_step_does_not_squeeze_the_rest():
    results = comparing.made_up({Variant("clip"): {"i2t_r10": [0.4]}})
    loss = curves.curves(results)[0]
    assert "range" not in loss.spec["layout"]["yaxis"] and not loss.note
    values = results.runs[0].curves["contrastive"]
    values[0] = 12.0
    loss = curves.curves(results)[0]
    low, high = loss.spec["layout"]["yaxis"]["range"]
    assert high == pytest.approx(1.1 * math.log(128), rel=1e-4)
    assert low < min(values)
    assert "above the axis" in loss.note and loss.table.rows[0][1] == "12"


def test_lines_are_means_over_seeds_within_their_band(full):
    chart = next(c for c in curves.curves(full) if c.id == "curve-logit-scale")
    clip = next(t for t in chart.spec["data"] if t.get("name") == "CLIP")
    assert clip["y"][0] == pytest.approx(2.67)
    assert sum(t.get("fill") == "toself" for t in chart.spec["data"]) == 4


def test_geometries_keep_their_colour_and_weights_their_dash(full):
    for chart in curves.curves(full):
        for trace in chart.spec["data"]:
            if trace.get("name", "").startswith("MERU"):
                assert trace["line"]["color"] == "var(--g-hyperbolic)"
                assert trace["line"]["dash"] == ("dash" if "λ" in trace["name"] else "solid")


def test_quantile_is_numpys():
    draw = random.Random(0)
    values = sorted(draw.random() for _ in range(31))
    for p in (0.0, 0.05, 0.5, 0.77, 1.0):
        assert distances.quantile(values, p) == pytest.approx(numpy.quantile(values, p))


def test_histogram_counts_everything_once():
    draw = random.Random(1)
    values = [draw.gauss(0, 1) for _ in range(500)]
    low, high = min(values), max(values)
    x, height = distances.histogram(values, low, high)
    assert sum(height[::2]) == len(values) and height[::2] == height[1::2]
    assert (x[0], x[-1]) == pytest.approx((low, high))


def test_equal_distances_are_drawn():
    import dataclasses

    results = comparing.made_up({Variant("clip"): {"i2t_r10": [0.4]}})
    run = dataclasses.replace(results.runs[0], distances={"group": [0.5] * 9, "image": [0.5] * 3})
    (chart,) = distances.root_distances(dataclasses.replace(results, runs=(run,)))
    assert "median" not in chart.table.columns and chart.table.rows[0][1] == "9"
    assert go.Figure(chart.spec).data


def test_smoothing_keeps_lines_and_length():
    line = [3.0 - 0.1 * i for i in range(25)]
    assert curves.smooth(line, 7) == pytest.approx(line)
    assert curves.smooth([0.0, 0.0, 3.0, 0.0, 0.0], 3) == pytest.approx([0, 1, 1, 1, 0])


def test_dots_lie_where_their_numbers_are(full):
    panel = next(p for p in dots.panels(full) if p.title == "Image → text R@10")
    clip = panel.dots[0]
    top = float(panel.top)
    # Positions have two decimals, of a scale of 100 per cent.
    assert clip.at * top / 100 == pytest.approx(50.5, abs=0.005)
    assert clip.low < clip.at < clip.high
    assert panel.marks[0].label == "chance 0.6"


@pytest.mark.parametrize(("largest", "top"), [(0.0, 0.01), (0.006, 0.006), (0.011, 0.02),
                                              (0.404, 0.5), (0.83, 1.0), (1.0, 1.0)])  # fmt: skip
def test_scales_end_at_round_numbers(largest, top):
    assert dots.scale_top(largest) == pytest.approx(top)
