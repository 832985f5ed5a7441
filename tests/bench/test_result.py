"""Results survive their file, and a later call goes on from it."""

import dataclasses
import math
import xml.etree.ElementTree as ElementTree

import pytest

from geomclip.bench.config import COMPETITORS, Case, chosen, gib
from geomclip.bench.plot import svg
from geomclip.bench.result import Result, Store, read
from geomclip.bench.table import groups, markdown, notes
from geomclip.bench.timing import Spread
from geomclip.bench.workload import Error
from geomclip.errors import RequestError

CASE = Case("pairwise", n=20, m=30, dim=4)
PASSES = "forward + backward"


def timed(name: str, ratio: float) -> Result:
    spread = Spread(ratio, ratio / 2, 2 * ratio)
    return Result(CASE, PASSES, name, Spread(0.01, 0.01, 0.02), spread, spread, Error(1e-7, 2e-7))


def test_results_survive_their_file(tmp_path):
    path = tmp_path / "new" / "results.jsonl"
    store = Store(path, {"torch": "1"})
    results = [timed("geomclip", 1.5), Result(CASE, "memory", "geomclip", bytes=3 << 20)]
    store.add(results)
    store.add([Result(CASE, PASSES, "hypll", note="not installed")])
    assert read(path) == store.results
    assert [r.system for r in read(path)] == [{"torch": "1"}] * 3
    assert dataclasses.replace(read(path)[0], system={}) == results[0]


def test_a_later_call_measures_what_is_lacking(tmp_path):
    path = tmp_path / "results.jsonl"
    Store(path, {}).add([timed("geomclip", 1.5), Result(CASE, "memory", "geomclip", bytes=1)])
    store = Store(path, {})
    assert store.lacking(CASE, ("geomclip",), memory=False) == ()
    # Ratios need all competitors in one process; peaks don't.
    assert store.lacking(CASE, ("geomclip", "cdist"), memory=False) == ("geomclip", "cdist")
    assert store.lacking(CASE, ("geomclip", "cdist"), memory=True) == ("cdist",)
    other = dataclasses.replace(CASE, threads=2)
    assert store.lacking(other, ("geomclip",), memory=False) == ("geomclip",)
    store.add([timed("geomclip", 1.25)])  # measured again: the last one counts
    assert [r.over_floor.median for r in read(path) if r.over_floor] == [1.25]


def test_a_file_of_something_else_is_named_with_its_line(tmp_path):
    path = tmp_path / "results.jsonl"
    Store(path, {}).add([timed("geomclip", 1.5)])
    path.write_text(path.read_text() + '{"a": 1}\n')
    with pytest.raises(RequestError, match=r"results.jsonl line 2 is no result"):
        read(path)


def test_tables_say_what_results_say():
    results = [timed("geomclip", 1.5), timed("textbook", 3.0)]
    results += [Result(CASE, "memory", "geomclip", bytes=3 << 20)]
    results += [Result(CASE, PASSES, "hypll", note="hypll is not installed")]
    rows = groups([r for r in results if not r.note])[CASE, PASSES]
    assert rows[0] == [
        "geomclip",
        "10.00",
        "1.50 [0.75-3.00]",
        "-",
        "3.0 MiB",
        "1e-07",
        "2e-07",
        "-",
    ]
    assert rows[1][3] == "3.00 [1.50-6.00]" and rows[1][4] == "-"
    assert notes(results) == ["hypll: hypll is not installed"]
    assert "| geomclip | 10.00 | 1.50 [0.75-3.00] |" in markdown(results)


def test_bars_are_as_long_as_the_logarithms():
    tree = ElementTree.fromstring(svg([timed("geomclip", 2.0), timed("textbook", 4.0)]))
    bars = [e for e in tree.iter() if e.tag.endswith("rect") and e.get("class") != "back"]
    assert [b.get("class") for b in bars] == ["ours", "other"]
    lengths = [float(b.get("width")) for b in bars]
    assert lengths[1] / lengths[0] == pytest.approx(math.log(4) / math.log(2), rel=1e-2)
    assert ElementTree.fromstring(svg([])).tag.endswith("svg")


def test_ours_is_always_among_the_chosen():
    assert chosen("loss", "textbook,cdist") == ("geomclip", "textbook")
    assert chosen("pairwise", None) == COMPETITORS["pairwise"]
    with pytest.raises(RequestError, match='there is no "meru"'):
        chosen("loss", "meru")


def test_sizes_for_people():
    assert gib(3 << 30) == "3.00 GiB" and gib(5 << 20) == "5.0 MiB"
