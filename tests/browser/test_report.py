"""The report in headless Chromium, opened from its file as a reader would."""

import base64
import itertools
import re

import pytest
from browsing import outside

from geomclip.results import read_results

pytestmark = pytest.mark.browser


def test_it_opens_without_errors_or_requests_and_draws_every_chart(desk, report):
    page, heard = desk
    assert heard.errors == [] and heard.console == [] and outside(heard, report) == []
    charts = page.locator(".plot")
    ids = charts.evaluate_all("all => all.map(one => one.id)")
    assert {"curve-contrastive", "curve-logit-scale", "curve-c", "curve-entailment",
            "curve-satisfied", "root-clip", "root-meru-ent0-2"} <= set(ids)  # fmt: skip
    lines = charts.evaluate_all(
        "all => all.map(one => [...one.querySelectorAll('path.js-line, .barlayer .point path')]"
        ".filter(line => line.getTotalLength() > 20).length)"
    )
    assert len(lines) == len(ids) and min(lines) >= 1
    assert page.locator("html").get_attribute("data-drawn") == str(len(ids))


def test_every_chart_has_a_name_and_a_table(desk):
    page, _ = desk
    for figure in page.locator("figure:has(.plot)").all():
        assert figure.locator(".plot[role=img]").get_attribute("aria-label")
        figure.locator("summary").click()
        assert figure.locator("table tbody tr").first.is_visible()


def test_the_lines_have_the_colours_of_the_paper_they_lie_on(visit):
    from playwright.sync_api import expect

    page, _ = visit(color_scheme="light")

    def look():
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        line = page.locator("#curve-c .scatterlayer path.js-line").first
        return background, line.evaluate("line => getComputedStyle(line).stroke")

    light = look()
    assert light == ("rgb(253, 253, 251)", "rgb(0, 138, 100)")
    page.emulate_media(color_scheme="dark")
    line = page.locator("#curve-c .scatterlayer path.js-line").first
    expect(line).to_have_css("stroke", "rgb(53, 197, 150)")
    assert look()[0] == "rgb(22, 24, 28)"


@pytest.mark.parametrize("width", [360, 768])
def test_nothing_sticks_out_of_a_narrow_screen(visit, width):
    page, heard = visit(viewport={"width": width, "height": 800}, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    wide = page.locator(".plot .main-svg").evaluate_all(
        "all => Math.max(...all.map(one => one.getBoundingClientRect().right))"
    )
    assert wide <= width and heard.errors == []


def test_without_javascript_the_words_tables_and_pictures_remain(visit, report):
    page, heard = visit(java_script_enabled=False)
    assert outside(heard, report) == []
    assert page.locator("#verdict .headline").is_visible()
    assert page.locator("#numbers table tbody tr").count() > 10
    first = page.locator("figure").first
    assert "needs JavaScript" in first.inner_text()
    first.locator("summary").click()
    assert first.locator("table").is_visible()
    assert page.locator("#pictures .gallery article").count() == 10
    assert page.locator(".query img").first.is_visible()


def test_pictures_are_pictures(desk):
    page, _ = desk
    sizes = page.locator(".gallery img").evaluate_all(
        "all => all.map(one => [one.naturalWidth, one.naturalHeight])"
    )
    assert sizes and all(size == [16, 16] for size in sizes)


def test_on_paper_it_is_light_and_every_table_is_open(visit):
    page, _ = visit(color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert page.locator("html.light").count() == 1
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == 0


def test_the_download_is_the_results(desk, report):
    page, _ = desk
    link = page.get_by_role("link", name="results.csv")
    text = base64.b64decode(link.get_attribute("href").split(",")[1]).decode()
    assert text == (report.parent / "results.csv").read_text(encoding="utf-8")


def test_the_page_is_below_eight_megabytes(report):
    assert report.stat().st_size < 8_000_000


def test_it_is_accessible_quiet_and_fits(visit, report):
    from axe_playwright_python.sync_playwright import Axe

    page, heard = visit(viewport={"width": 1280, "height": 844}, bypass_csp=True)
    page.evaluate("geomclip.explorer.select(3)")
    every = "for (const one of document.querySelectorAll('details')) one.open = "
    for width, scheme in ((1280, "light"), (390, "dark")):
        page.set_viewport_size({"width": width, "height": 844})
        page.emulate_media(color_scheme=scheme)
        page.evaluate(every + "true")
        # Charts are drawn anew a tenth of a second after the window has changed its size.
        page.wait_for_function(f"document.documentElement.scrollWidth === {width}")
        page.evaluate(every + "false")
        found = Axe().run(page).response["violations"]
        assert [v["id"] for v in found if v["impact"] in ("serious", "critical")] == []
    assert heard.errors == [] and heard.console == [] and outside(heard, report) == []


def test_the_spaces_show_the_tested_pictures_and_what_they_meet(desk, report):
    page, _ = desk
    results = read_results(report.parent / "results.json")
    names = page.locator(".disks h3").all_inner_texts()
    assert len(names) == len(results.variants) and names[0] == "CLIP"
    atlas = results.spaces["atlas"]
    pictures = [
        i for i, code in enumerate(atlas["modality"]) if atlas["modalities"][code] == "image"
    ]
    assert len(pictures) == results.data["splits"]["validation"]["pool"]
    assert {atlas["thumbs"][i] for i in pictures} == set(range(len(pictures)))
    sample = pictures[3]
    page.evaluate(f"geomclip.explorer.select({sample})")
    ways = page.locator(".card .way")
    for k, way in enumerate(ways.all()):
        steps = atlas["panels"][k]["traversals"][str(sample)]
        said = way.locator("li").all_inner_texts()
        expected = ["the root" if i < 0 else atlas["captions"][i] for i in steps]
        assert [text.strip() for text in said] == expected
    assert ways.count() == len(names)
    page.evaluate("geomclip.explorer.select(-1)")


def test_pictures_on_a_disk_do_not_overlap(desk):
    page, _ = desk
    # Not wait_for_function, which the page's policy forbids where it has to ask twice.
    page.evaluate("geomclip.explorer.atlas.sprite.loaded")
    drawn = page.evaluate("""() => geomclip.explorer.panels.map((panel) => {
      const boxes = [], { sprite } = panel.atlas;
      sprite.draw = (ink, k, x, y, side) => boxes.push([x, y, side]);
      panel.drawOver();
      delete sprite.draw;
      panel.drawOver();
      return boxes;
    })""")
    for boxes in drawn:
        assert boxes
        for (x, y, side), (left, top, other) in itertools.combinations(boxes, 2):
            half = (side - other) / 2
            apart = max(abs(x - left + half), abs(y - top + half))
            assert apart >= (side + other) / 2


def test_every_section_has_its_contents(desk):
    page, _ = desk
    assert page.locator(".missing").count() == 0
    links = page.locator(".contents a").evaluate_all("all => all.map(one => one.hash.slice(1))")
    assert {"numbers", "training", "root", "spaces", "ways", "cones", "ablation", "pictures"} < set(
        links
    )
    assert all(page.locator(f"section#{link}").count() == 1 for link in links)
    assert page.locator("#cones tbody tr").count() >= 4 * 2
    assert page.locator("#ways article").count() == 10
    assert page.locator(".extremes").count() == 5


def test_headings_and_landmarks_make_an_outline(desk):
    page, _ = desk
    assert page.locator("html").get_attribute("lang") == "en"
    levels = page.locator("h1, h2, h3, h4").evaluate_all("all => all.map(one => +one.tagName[1])")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert page.locator("main").count() == 1
    assert page.locator("img:not([alt])").count() == 0


def test_the_table_says_what_the_results_say(desk, report):
    page, _ = desk
    results = read_results(report.parent / "results.json")
    row = page.locator("#numbers tr", has_text=re.compile("Image → text R@10")).first
    cells = row.locator("td").all_inner_texts()
    for variant, cell in zip(results.variants, cells, strict=False):
        (value,) = results.values(variant, "validation", "i2t_r10")
        assert cell.startswith(f"{100 * value:.1f}")
