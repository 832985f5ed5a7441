"""The page as text: one file, everything inside, nothing unescaped."""

import base64
import html
import json
import re
from html.parser import HTMLParser

import comparing
import markupsafe
import pytest

from geomclip.errors import GeomclipError
from geomclip.results import Results, Variant
from geomclip.viz.ablation import ablation
from geomclip.viz.report import render, sections, write_report


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


def test_one_copy_of_plotly_and_less_than_eight_megabytes(page):
    from plotly.offline import get_plotlyjs

    assert page.count(get_plotlyjs()[:200]) == 1
    assert len(page.encode()) < 8_000_000


def test_every_chart_has_a_table_in_details(page):
    page = prose(page)
    charts = re.findall(r'<div class="plot" id="([\w-]+)"', page)
    assert len(charts) >= 6
    for chart in charts:
        figure = page.split(f'id="{chart}"')[1].split("</figure>")[0]
        assert "<details>" in figure and "<table>" in figure


HOSTILE = {
    "script": "</script><script>alert(1)</script>\"'&<b>",
    "comment": "<!-- <script> ]]> {{ 7 * 7 }}",
    "right to left": "\u202e reversed \u2066",
    "long": "word " * 2000,
    "emoji": "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea",
}


@pytest.mark.parametrize("bad", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_texts_are_escaped_in_every_section(bad):
    results = comparing.made_up({Variant("clip"): {"i2t_r10": [0.4]}}, name=bad)
    page = prose(render(results))
    assert "alert(1)</script>" not in page and "<!-- <script>" not in page and "49 ]]" not in page
    for section in ("pictures", "ways", "spaces"):
        inside = page.split(f'<section id="{section}"')[1].split("</section>")[0]
        assert str(markupsafe.escape(bad))[:20] in inside
    for name, find in (
        ("results", lambda d: d["gallery"]["items"][0]["name"]),
        ("atlas", lambda d: d["captions"][0]),
    ):
        embedded = re.search(rf'id="{name}">(.*?)</script>', page, re.S)[1]
        assert find(json.loads(embedded)) == bad


def test_a_section_that_cannot_be_made_says_why(full):
    import dataclasses

    bare = tuple(dataclasses.replace(r, curves={}, distances={}, cones=()) for r in full.runs)
    less = dataclasses.replace(
        full, runs=bare, spaces={}, traversals={}, gallery={},
        left_out={"spaces": "meru-seed0: features of 3 of 9 inputs are not finite."},
    )  # fmt: skip
    found = {s.id: s.missing for s in sections(less).values() if s.missing}
    assert set(found) == {"training", "root", "spaces", "ways", "cones"}
    assert found["ways"] == found["spaces"] == less.left_out["spaces"]
    page = prose(render(less))
    for section, why in found.items():
        inside = page.split(f'<section id="{section}"')[1].split("</section>")[0]
        assert str(markupsafe.escape(why)) in inside
    earlier = Results.from_dict(
        {k: v for k, v in less.to_dict().items() if k not in ("spaces", "traversals", "left_out")}
    )
    assert "run the same command again" in sections(earlier)["spaces"].missing
    assert "ablation" not in found and "pictures" not in sections(less)


def test_several_weights_of_entailment_are_an_ablation(full):
    charts = {chart.id: chart for chart in ablation(full)}
    assert set(charts) == {"ablation-i2t-r10", "ablation-zeroshot-group-acc", "ablation-root-tau"}
    (line,) = charts["ablation-i2t-r10"].spec["data"]
    assert line["name"] == "MERU" and line["x"] == ["0", "0.2"]
    assert line["y"] == pytest.approx([41.5, 30.5])
    # The legend beside them has the geometries that are drawn, and no others.
    section = prose(render(full)).split('<section id="ablation"')[1].split("</section>")[0]
    key = section.split('<ul class="legend"')[1].split("</ul>")[0]
    assert re.findall(r"</svg>([^<]*)</li>", key) == ["MERU"]
    assert "standard deviation over 2 seeds" in section
    clip = comparing.made_up({Variant("clip"): {"i2t_r10": [0.4]}})
    assert ablation(clip) == [] and "ablation" not in sections(clip)


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
