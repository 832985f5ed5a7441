"""The page of `geomclip analyze` in headless Chromium."""

import pytest
import torch
from browsing import open_report

from geomclip import build_geometry
from geomclip.analysis import analyze
from geomclip.embeddings import Embeddings
from geomclip.viz.analysis import render

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Two spaces, one with cones, with names that are no names."""
    reports = {}
    for name in ("clip", "meru"):
        torch.manual_seed(0)
        g = build_geometry(name, 4)
        points = {m: g.lift(torch.randn(40, 4), m).detach() for m in ("image", "text")}
        reports[f"<img src=x onerror=alert(1)> {name}"] = analyze(Embeddings(points, g))
    path = tmp_path_factory.mktemp("page") / "analysis.html"
    path.write_text(render(reports))
    return path


def test_it_draws_every_chart_and_asks_for_nothing(chromium, page):
    tab, heard = open_report(chromium, page, viewport={"width": 1200, "height": 900})
    try:
        assert heard.errors == [] and heard.console == []
        assert [u for u in heard.requests if not u.startswith(("data:", "blob:"))] == [
            page.as_uri()
        ]
        charts = tab.locator(".plot")
        assert charts.count() > 12
        assert tab.locator("html").get_attribute("data-drawn") == str(charts.count())
        assert tab.locator("img").count() == 0
        for chart in charts.all():
            assert chart.locator(".scatterlayer .trace").count() > 0
    finally:
        tab.context.close()
