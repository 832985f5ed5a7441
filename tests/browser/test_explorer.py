"""The explorer in headless Chromium, against float64 mathematics and `manifolds`."""

import csv
import io
import json
import math
import re

import numpy as np
import pytest
import torch
from browsing import open_report, outside

import manifolds
from geomclip.viz.explorer import Picture, Samples, render, write_page

pytestmark = pytest.mark.browser

HOSTILE = [
    "</script><script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "\"quoted\" & 'quoted' <!-- ",
    "\u202eright to left\u202c",
    "=HYPERLINK(1)",
    "family \U0001f468\u200d\U0001f469\u200d\U0001f467 and flag \U0001f1e9\U0001f1ea",
    "x" * 10_000,
]


def samples(n, **more):
    return Samples([f"sample {i}" for i in range(n)], [i % 2 for i in range(n)], **more)


def polar(r, angle):
    return np.stack([r * np.cos(angle), r * np.sin(angle)], -1)


@pytest.fixture(scope="module")
def cloud():
    """Three geometries with the same 200 samples: tangent vectors up to length 3."""
    generator = np.random.default_rng(0)
    xy = polar(generator.uniform(0.05, 3, 200), generator.uniform(-math.pi, math.pi, 200))
    length = np.linalg.norm(xy, axis=-1)
    return [
        Picture("CLIP", "sphere", xy, length, unit="rad"),
        Picture("EuCLIP", "euclidean", xy, length, c=0.0, cones=True),
        Picture("MERU", "hyperbolic", xy * math.sqrt(2.0), length, c=2.0, cones=True),
    ]


@pytest.fixture(scope="module")
def open_page(chromium, tmp_path_factory):
    """Opens a page of the explorer; gives the page, its file and what it said and asked for."""
    contexts = []

    def opened(shown, pictures, attribute="explored", **options):
        path = tmp_path_factory.mktemp("explorer") / "disk.html"
        write_page(path, render(shown, pictures, title="Spaces", min_radius=0.2))
        options.setdefault("viewport", {"width": 1280, "height": 900})
        page, heard = open_report(chromium, path, attribute=attribute, **options)
        contexts.append(page.context)
        return page, path, heard

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def desk3(open_page, cloud):
    return open_page(samples(200), cloud)


def box(page, k):
    return page.locator(f'[data-panel="{k}"]').bounding_box()


def disk(page, k, i):
    """Where sample i is in the picture of panel k, from its place on the screen."""
    x, y, side, scale = page.evaluate(
        f"(() => {{ const p = geomclip.explorer.panels[{k}];"
        f" return [...p.screenOf({i}), p.side, p.scale] }})()"
    )
    return complex((x - side / 2) / scale, (side / 2 - y) / scale), scale


def drag(page, k, start, end):
    """A drag by the mouse, from and to places relative to the panel's corner.

    A mouse stands on whole pixels of the window: gives the places it really had.
    """
    corner = box(page, k)
    places = [(round(corner["x"] + x), round(corner["y"] + y)) for x, y in (start, end)]
    page.mouse.move(*places[0])
    page.mouse.down()
    page.mouse.move(*places[1])
    page.mouse.up()
    page.evaluate("new Promise(requestAnimationFrame)")
    return [(x - corner["x"], y - corner["y"]) for x, y in places]


def home(page):
    page.get_by_role("button", name="Back to the root").click()


def moebius(z, a, b):
    """The translation of the disk along the geodesic from a to b, which takes a to b."""

    def to_zero(p, q):
        return (q - p) / (1 - p.conjugate() * q)

    w = to_zero(a, b)
    moved = (to_zero(a, z) + w) / (1 + w.conjugate() * to_zero(a, z))
    return (moved + a) / (1 + a.conjugate() * moved)


def test_a_dragged_point_lands_where_the_moebius_translation_says(desk3, cloud):
    page, _, heard = desk3
    home(page)
    side = box(page, 2)["width"]
    before, scale = zip(*(disk(page, 2, i) for i in range(20)), strict=True)
    start, end = (0.6 * side, 0.35 * side), (0.3 * side, 0.55 * side)
    start, end = drag(page, 2, start, end)

    def place(p):
        return complex((p[0] - side / 2) / scale[0], (side / 2 - p[1]) / scale[0])

    for i in range(20):
        expected = moebius(before[i], place(start), place(end))
        assert abs(disk(page, 2, i)[0] - expected) * scale[0] < 1
    tangent = cloud[2].xy[3]
    radius = math.tanh(np.linalg.norm(tangent) / 2) / np.linalg.norm(tangent)
    assert abs(before[3] - complex(*(radius * tangent))) < 1e-9
    assert heard.errors == []


def test_dragging_the_plane_shifts_it_and_the_sphere_turns(desk3, cloud):
    page, _, _ = desk3
    home(page)
    before, scale = disk(page, 1, 5)
    (x, y), (to_x, to_y) = drag(page, 1, (100, 100), (160, 80))
    shift = complex(to_x - x, y - to_y) / scale
    assert abs(disk(page, 1, 5)[0] - before - shift) * scale < 1e-6
    side, (_, scale) = box(page, 0)["width"], disk(page, 0, 0)
    middle = [side / 2, side / 2]
    page.evaluate("([a, b]) => geomclip.explorer.panels[0].drag(a, b)",
                  [middle, [side / 2 + 50, side / 2]])  # fmt: skip
    angle = math.pi * 50 / scale  # azimuthal equidistant: the centre moved along a great circle
    turned = np.array([[math.cos(angle), -math.sin(angle), 0],
                       [math.sin(angle), math.cos(angle), 0], [0, 0, 1]])  # fmt: skip
    for i in range(10):
        u = cloud[0].xy[i]
        r = np.linalg.norm(u)
        point = turned @ [math.cos(r), *(math.sin(r) / r * u)]
        theta = math.acos(point[0]) / math.pi / np.linalg.norm(point[1:])
        assert abs(disk(page, 0, i)[0] - complex(*(theta * point[1:]))) * scale < 1


def test_a_pair_at_radius_fifteen_comes_to_the_centre_half_a_unit_apart(open_page):
    # Both at radius 15, at distance 0.5: sinh(1/4) = sinh(15) sin(angle / 2).
    angle = 2 * math.asin(math.sinh(0.25) / math.sinh(15))
    xy = polar(np.array([15.0, 15.0, 1.0]), np.array([0.7, 0.7 + angle, 2.0]))
    picture = Picture("far", "hyperbolic", xy, np.array([15.0, 15.0, 1.0]))
    page, *_ = open_page(samples(3), [picture], reduced_motion="reduce")
    page.evaluate("geomclip.explorer.glide(geomclip.explorer.panels[0], "
                  "geomclip.explorer.panels[0].point(0), 0)")  # fmt: skip
    (first, scale), (second, _) = disk(page, 0, 0), disk(page, 0, 1)
    assert abs(first) * scale < 1
    assert abs(abs(second) - math.tanh(0.25)) * scale < 1


def test_a_long_walk_does_not_wear_the_isometry_out(desk3):
    page, *_ = desk3
    home(page)
    worst = page.evaluate("""() => {
      const panel = geomclip.explorer.panels[2];
      const apart = () => geomclip.spaces.hyperbolic.distance(
        ...[0, 1].map((i) => geomclip.spaces.apply(panel.view.matrix, panel.point(i))));
      const before = apart();
      const way = (k) => [150 + 40 * Math.sin(k / 9), 150 + 40 * Math.cos(k / 7)];
      for (let k = 0; k < 5000; k++) panel.drag(way(k), way(k + 1));
      return Math.abs(apart() - before) / before;
    }""")  # fmt: skip
    assert worst < 1e-9


def test_hover_names_the_right_sample_and_marks_it_in_every_panel(desk3):
    page, *_ = desk3
    home(page)
    corner = box(page, 1)
    x, y = page.evaluate("geomclip.explorer.panels[1].screenOf(11)")
    page.mouse.move(corner["x"] + x, corner["y"] + y)
    near = page.evaluate(f"geomclip.explorer.panels[1].nearest({x}, {y})")
    assert near == 11 and page.locator(".tip strong").inner_text() == "sample 11"
    assert page.evaluate("geomclip.explorer.atlas.hovered") == 11


@pytest.mark.parametrize(
    ("k", "manifold"), [(1, manifolds.Euclidean()), (2, manifolds.Lorentz(2.0))]
)
def test_cones_on_the_screen_hold_what_manifolds_says(desk3, cloud, k, manifold):
    page, *_ = desk3
    generator = torch.Generator().manual_seed(1)
    pairs = torch.randint(200, (1000, 2), generator=generator)
    radius = 0.2
    tangent = torch.tensor(cloud[k].xy) / math.sqrt(cloud[k].c or 1)
    points = manifold.double().expmap0(tangent)
    x, y = points[pairs[:, 0]], points[pairs[:, 1]]
    gap = manifold.exterior_angle(x, y) - manifold.half_aperture(x, radius)
    held = page.evaluate(
        f"pairs => pairs.map(([i, j]) => geomclip.explorer.panels[{k}].holds(i, j, {radius}))",
        pairs.tolist(),
    )
    assert held == (gap <= 0).tolist()
    assert 0 < sum(held) < 1000 and gap.abs().min() > 1e-9


def test_a_click_shows_the_family_and_the_address_brings_it_back(open_page, cloud):
    from playwright.sync_api import expect

    shown = samples(200, ids=[f"id {i}" for i in range(200)],
                    parents=[-1, 0, 1] + [2] * 197, depths=[0, 1, 2] + [3] * 197)  # fmt: skip
    page, path, heard = open_page(shown, cloud)
    page.evaluate("geomclip.explorer.select(7)")
    card = page.locator(".card")
    assert card.locator("h3").inner_text() == "sample 7"
    assert card.locator("h4 + ul").first.locator("li").all_inner_texts() == [
        "sample 2", "sample 1", "sample 0"]  # fmt: skip
    drag(page, 2, (100, 150), (180, 120))
    page.get_by_label("Search").fill("sample 19")
    expect(page).to_have_url(re.compile(r"q=sample\+19"))  # follows after a moment without a move
    place, _ = disk(page, 2, 7)
    held, address = card.inner_text(), page.url
    page.goto("about:blank")
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-explored]", state="attached")
    assert page.evaluate("geomclip.explorer.atlas.selected") == -1
    page.goto("about:blank")
    page.goto(address)
    page.wait_for_selector("html[data-explored]", state="attached")
    assert page.evaluate("geomclip.explorer.atlas.selected") == 7
    assert page.locator(".card").inner_text() == held
    assert abs(disk(page, 2, 7)[0] - place) < 1e-9
    assert page.get_by_label("Search").input_value() == "sample 19"
    assert heard.errors == []


def test_the_lasso_chooses_what_it_encloses_and_the_export_is_safe(open_page):
    from playwright.sync_api import expect

    n = len(HOSTILE) + 3
    xy = polar(np.linspace(0.2, 1.5, n), np.linspace(0, 3, n))
    captions = [*HOSTILE, "a", "b", "c"]
    shown = Samples(captions, [1] * n, paths=[[HOSTILE[0]]] * n)
    page, path, heard = open_page(shown, [Picture("P", "euclidean", xy, np.linspace(0.2, 1.5, n))])
    assert page.title() == "Spaces · geomclip"
    for i in range(n):
        page.evaluate(f"geomclip.explorer.select({i})")
        assert page.locator(".card h3").inner_text()
    page.get_by_text("Table of the samples").click()
    expect(page.locator("[data-role=rows] tr")).to_have_count(n)  # the table fills once it is open
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    rows = list(csv.reader(io.StringIO(page.evaluate("geomclip.explorer.controls.csv()"))))
    assert [row[2] for row in rows[1:]] == ["'" + c if c[0] == "=" else c for c in captions]
    side = box(page, 0)["width"]
    page.get_by_role("button", name="Lasso").click()
    corner = box(page, 0)
    page.mouse.move(corner["x"] + 2, corner["y"] + 2)
    page.mouse.down()
    for x, y in [(side - 2, 2), (side - 2, side / 2 - 3), (2, side / 2 - 3)]:
        page.mouse.move(corner["x"] + x, corner["y"] + y)
    page.mouse.up()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export csv").click()
    text = download.value.path().read_text(encoding="utf-8")
    above = [i for i in range(n) if disk(page, 0, i)[0].imag > 3 / disk(page, 0, i)[1]]
    assert [int(row[0]) for row in list(csv.reader(io.StringIO(text)))[1:]] == above
    assert 3 < len(above) < n and page.title() == "Spaces · geomclip"
    assert heard.errors == [] and outside(heard, path) == []


def test_the_keyboard_reaches_points_and_lets_go(desk3):
    page, *_ = desk3
    home(page)
    canvas = page.locator('[data-panel="2"] .over')
    canvas.focus()
    before, scale = disk(page, 2, 0)
    page.keyboard.press("ArrowRight")
    page.evaluate("new Promise(requestAnimationFrame)")
    middle = box(page, 2)["width"] / 2
    assert abs(disk(page, 2, 0)[0] - moebius(before, 0j, complex(-32 / scale, 0))) < 1e-9, middle
    page.keyboard.press("Enter")
    first = page.evaluate("geomclip.explorer.atlas.selected")
    page.keyboard.press("Tab")
    second = page.evaluate("geomclip.explorer.atlas.selected")
    assert first >= 0 and second >= 0 and first != second
    assert canvas.evaluate("one => one === document.activeElement")
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    assert not canvas.evaluate("one => one === document.activeElement")


@pytest.mark.parametrize("width", [1280, 390])
def test_it_is_accessible_quiet_and_fits(open_page, cloud, width):
    from axe_playwright_python.sync_playwright import Axe

    page, path, heard = open_page(
        samples(200), cloud, viewport={"width": width, "height": 844}, bypass_csp=True
    )
    page.evaluate("geomclip.explorer.select(4)")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    found = Axe().run(page).response["violations"]
    assert [v["id"] for v in found if v["impact"] in ("serious", "critical")] == []
    assert heard.errors == [] and heard.console == [] and outside(heard, path) == []


def test_two_fingers_magnify_about_their_middle(open_page, cloud):
    page, *_ = open_page(samples(200), cloud[1:2], has_touch=True)
    zoom, _ = page.evaluate("[geomclip.explorer.panels[0].zoom, 0]")
    page.evaluate("""() => {
      const canvas = document.querySelector(".over");
      canvas.setPointerCapture = () => {};
      const corner = canvas.getBoundingClientRect();
      const send = (type, id, x, y) => canvas.dispatchEvent(new PointerEvent(type, {
        pointerId: id, pointerType: "touch", bubbles: true,
        clientX: corner.left + x, clientY: corner.top + y }));
      send("pointerdown", 1, 100, 200); send("pointerdown", 2, 200, 200);
      send("pointermove", 2, 300, 200);
      send("pointerup", 1, 100, 200); send("pointerup", 2, 300, 200);
    }""")  # fmt: skip
    assert math.isclose(page.evaluate("geomclip.explorer.panels[0].zoom"), 2 * zoom, rel_tol=1e-9)


def test_a_notebook_shows_it_in_a_frame(chromium, cloud):
    from geomclip.viz.pages import frame

    page = chromium.new_page(viewport={"width": 900, "height": 950})
    heard = []
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.set_content(frame(render(samples(200), cloud[:1], title="Spaces"), 900))
    inner = page.frame_locator("iframe")
    inner.locator("html[data-explored]").wait_for(state="attached")
    page.frames[1].evaluate("geomclip.explorer.select(4); geomclip.explorer.write()")
    assert inner.locator(".card h3").inner_text() == "sample 4" and heard == []
    assert page.frames[1].evaluate("location.href").startswith("about:srcdoc#s=4")
    page.close()


def test_the_data_in_the_page_are_the_pictures(open_page, cloud):
    page, *_ = open_page(samples(200), cloud[:1])
    data = json.loads(page.locator("#atlas").text_content())
    assert data["n"] == 200 and [panel["name"] for panel in data["panels"]] == ["CLIP"]
    planar = page.evaluate("[...geomclip.explorer.panels[0].planar]")
    np.testing.assert_array_equal(np.array(planar).reshape(-1, 2), cloud[0].xy)


def test_the_playground_says_what_manifolds_says(desk3):
    page, _, heard = desk3
    generator = torch.Generator().manual_seed(2)
    rows = torch.randn(200, 4, generator=generator, dtype=torch.float64).tolist()
    found = page.evaluate(
        """rows => rows.map(([a, b, d, e], k) => {
          const ground = geomclip.playground;
          ground.vectors = { x: [a, b], y: [d, e] };
          ground.c = 10 ** (k % 3 - 1);
          const step = 0.005 * (k % 40);
          ground.radius = { euclidean: 0.05 + 2 * step, hyperbolic: 0.02 + step };
          ground.draw();
          return ["euclidean", "hyperbolic"].map((plane) => ground.numbers(plane));
        })""",
        rows,
    )
    for k, (row, (flat, curved)) in enumerate(zip(rows, found, strict=True)):
        u, v = torch.tensor(row, dtype=torch.float64).view(2, 2)
        for m, shown, radius in [
            (manifolds.Euclidean(), flat, 0.05 + 0.01 * (k % 40)),
            (manifolds.Lorentz(10.0 ** (k % 3 - 1)).double(), curved, 0.02 + 0.005 * (k % 40)),
        ]:
            x, y = m.expmap0(u), m.expmap0(v)
            np.testing.assert_allclose(shown["x"], x, rtol=1e-12)
            assert abs(shown["aperture"] - m.half_aperture(x, radius).item()) < 1e-9
            assert abs(shown["angle"] - m.exterior_angle(x, y).item()) < 1e-9
    assert heard.errors == []


def test_a_point_of_the_playground_follows_the_mouse_and_the_arrows(desk3):
    page, *_ = desk3
    handle = page.locator('[data-plane="hyperbolic"] [data-part="y"]')
    handle.scroll_into_view_if_needed()
    svg = page.locator('[data-plane="hyperbolic"]').bounding_box()
    start = handle.locator("circle").last.bounding_box()
    page.mouse.move(start["x"] + start["width"] / 2, start["y"] + start["height"] / 2)
    page.mouse.down()
    page.mouse.move(round(svg["x"] + 0.3 * svg["width"]), round(svg["y"] + 0.4 * svg["height"]))
    page.mouse.up()
    end = handle.locator("circle").last.bounding_box()
    assert abs(end["x"] + end["width"] / 2 - svg["x"] - 0.3 * svg["width"]) < 1.5
    before = page.evaluate("geomclip.playground.vectors.y[0]")
    page.keyboard.press("ArrowRight")
    assert math.isclose(page.evaluate("geomclip.playground.vectors.y[0]"), before + 0.02)
