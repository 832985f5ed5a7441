"""The docs' live pages in a real browser: they work from a file, offline, and tell the truth."""

import math
import sys
from pathlib import Path

import pytest
import torch
from browsing import open_report, outside

import manifolds

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """The folder of pages, as the site's build writes it."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "docs" / "_ext"))
    try:
        from live_files import write_pages
    finally:
        sys.path.pop(0)
    folder = tmp_path_factory.mktemp("live")
    write_pages(folder)
    return folder


def test_the_triangle_is_that_of_manifolds(chromium, live):
    page, heard = open_report(chromium, live / "curvature.html", attribute="live")
    corners = [[1.7, 0.2], [-0.7, 1.5], [-1.1, -1.4]]
    u = torch.tensor(corners, dtype=torch.float64)
    spaces = {
        -4.0: manifolds.Lorentz(c=4.0).double(),
        -1.0: manifolds.Lorentz(c=1.0).double(),
        0.0: manifolds.Euclidean(),
        0.3: manifolds.Sphere(c=0.3).double(),
    }
    for curvature, m in spaces.items():
        found = page.evaluate("k => geomclip.triangle(k)", curvature)
        # On the sphere the root is the first axis, and tangent vectors have none of it.
        v = torch.cat([torch.zeros(3, 1, dtype=u.dtype), u], 1) if curvature > 0 else u
        x = m.expmap0(v)
        sides = m.dist(x, x.roll(-1, 0)).sum().item()
        assert found["sides"] == pytest.approx(sides, rel=1e-9)
        angles = 0.0
        for i in range(3):
            a, b = m.logmap(x[i], x[i - 1]), m.logmap(x[i], x[i - 2])
            cosine = m.inner(x[i], a, b) / (m.norm(x[i], a) * m.norm(x[i], b))
            angles += math.acos(cosine.item())
        assert found["angles"] == pytest.approx(angles, abs=1e-9)
    assert found["circle"] > 0 and not heard.errors and not outside(heard, live / "curvature.html")
    page.locator("input[type=range]").fill("0")
    assert page.locator('[data-number="angles"]').inner_text() == "180.0"
    assert page.locator('[data-number="area"]').inner_text() == (
        page.locator('[data-flat="area"]').inner_text()
    )
    page.context.close()


def test_cones_and_the_tree_open_without_a_request(chromium, live):
    for name in ("cones", "tree"):
        page, heard = open_report(chromium, live / f"{name}.html", attribute="live")
        assert not heard.errors and not outside(heard, live / f"{name}.html"), name
        if name == "tree":
            assert page.evaluate("geomclip.explorer.atlas.n") == 1 + 9 + 97 + 1609
        else:
            assert page.locator('[data-number="hyperbolic-aperture"]').inner_text()
        page.context.close()
