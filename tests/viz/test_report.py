"""The page as text: one file, everything inside, nothing unescaped."""

import base64
import html
import json
import re
from html.parser import HTMLParser

import comparing
import pytest

from geomclip.errors import GeomclipError
from geomclip.results import Results, Variant
from geomclip.viz.report import render, write_report


@pytest.fixture(scope="module")
def page(full):
    return render(full)


def prose(page):
    """The page without plotly.js, whose five megabytes make every search slow."""
    from plotly.offline import get_plotlyjs

    return page.replace(get_plotlyjs(), "")


class Outline(HTMLParser):
    """Tags that are open at the end, addresses that are not data, and pictures without alt."""

    VOID = ("meta", "img", "br", "line", "link", "input")

    def __init__(self):
        super().__init__()
        self.open, self.addresses, self.bare = [], [], 0

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        for name in ("src", "href"):
            if name in values and not values[name].startswith(("data:", "#")):
                self.addresses.append(values[name])
        self.bare += tag == "img" and "alt" not in values
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_page_is_well_formed_and_points_nowhere(page):
    outline = Outline()
    outline.feed(prose(page))
    assert outline.open == [] and outline.addresses == [] and outline.bare == 0


def test_one_copy_of_plotly_and_less_than_ten_megabytes(page):
    from plotly.offline import get_plotlyjs

    assert page.count(get_plotlyjs()[:200]) == 1
    assert len(page.encode()) < 10_000_000


def test_every_chart_has_a_table_in_details(page):
    page = prose(page)
    charts = re.findall(r'<div class="plot" id="([\w-]+)"', page)
    assert len(charts) >= 6
    for chart in charts:
        figure = page.split(f'id="{chart}"')[1].split("</figure>")[0]
        assert "<details>" in figure and "<table>" in figure


def test_hostile_texts_are_escaped():
    bad = "</script><script>alert(1)</script>\"'&<b>"
    results = comparing.made_up({Variant("clip"): {"i2t_r10": [0.4]}}, name=bad)
    page = prose(render(results))
    assert "alert(1)</script>" not in page
    assert html.escape(bad, quote=False)[:20] in page
    embedded = re.search(r'id="results">(.*?)</script>', page, re.S)[1]
    assert json.loads(embedded)["gallery"]["items"][0]["name"] == bad


def test_the_data_can_be_taken_out_again(page, full):
    page = prose(page)
    link = re.search(r'download="results.json" href="data:[^,]*,([^"]*)"', page)[1]
    again = Results.from_dict(json.loads(base64.b64decode(link)))
    assert again.rows == full.rows and again.variants == full.variants
    text = base64.b64decode(re.search(r'download="results.csv" href="data:[^,]*,([^"]*)"', page)[1])
    assert text.decode() == full.to_csv()


def test_the_verdict_and_how_to_repeat_it_are_there(page):
    page = prose(page)
    assert "CLIP leads in finding a picture" in html.unescape(page)
    assert "geomclip compare --seeds 1" in page
    assert 'lang="en"' in page


def test_a_page_that_cannot_be_written_says_so(full, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(GeomclipError, match="could not be written"):
        write_report(full, tmp_path / "file" / "report.html")


def test_numbers_that_are_no_numbers_do_not_break_the_page():
    import dataclasses

    results = comparing.made_up({Variant("clip"): {"i2t_r10": [0.4]}})
    settings = results.settings | {"minutes": float("nan")}
    page = prose(render(dataclasses.replace(results, settings=settings)))
    embedded = re.search(r'id="results">(.*?)</script>', page, re.S)[1]
    assert json.loads(embedded)["settings"]["minutes"] is None
