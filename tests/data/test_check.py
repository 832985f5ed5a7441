"""`data check` reports everything at once, and is right about counts."""

import csv
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from geomclip.data.check import check
from geomclip.data.config import DataConfig
from geomclip.errors import RequestError


@pytest.fixture
def messy(tmp_path: Path) -> Path:
    """Twelve rows: 4 good, 8 bad in four kinds."""
    out = io.BytesIO()
    Image.new("RGB", (6, 4), "red").save(out, "PNG")
    rows = [["id", "image", "caption"]]
    for i in range(4):
        (tmp_path / f"{i}.png").write_bytes(out.getvalue())
        rows.append([str(i), f"{i}.png", f"picture {i}"])
    rows += [[f"g{i}", f"gone{i}.png", "x"] for i in range(3)]
    (tmp_path / "notes.png").write_text("not a picture")
    (tmp_path / "empty.png").write_bytes(b"")
    rows += [["n", "notes.png", "x"], ["e", "empty.png", "x"]]
    (tmp_path / "blank.png").write_bytes(out.getvalue())
    rows += [["b", "blank.png", ""], ["c", "blank.png", " "], ["0", "blank.png", "x"]]
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return tmp_path / "t.csv"


def test_all_kinds_are_counted_and_quoted_by_row(messy):
    counts: list[int] = []
    report = check(
        DataConfig(source=str(messy), id_column="id"), examples=2, progress=counts.append
    )
    assert (report.rows, report.good, report.captions, report.format) == (12, 4, 4, "csv")
    assert counts == list(range(1, 13))
    assert not report.ok
    problems = {p.kind: p for p in report.problems}
    assert {kind: p.count for kind, p in problems.items()} == {
        "no such picture": 3,
        "the caption is empty": 2,
        "not a picture in a known format": 1,
        "the file is empty": 1,
        "duplicate id": 1,
    }
    assert report.problems[0].kind == "no such picture"
    gone = problems["no such picture"]
    assert [bad.where for bad in gone.examples] == [f"{messy} row 6", f"{messy} row 7"]
    assert "row 9" in problems["not a picture in a known format"].examples[0].where
    assert report.rows == report.good + sum(p.count for p in report.problems)


def test_the_report_is_plain_data(messy):
    report = check(DataConfig(source=str(messy), id_column="id"))
    values = json.loads(json.dumps(report.to_dict()))
    assert values["good"] == 4 and values["ok"] is False
    assert values["problems"][0]["examples"][0]["reason"] == "no such picture: gone0.png"


def test_a_clean_set_is_ok(tmp_path):
    for kind in ("cat", "dog"):
        (tmp_path / kind).mkdir()
        Image.new("RGB", (4, 4)).save(tmp_path / kind / "1.png")
    report = check(DataConfig(source=str(tmp_path)))
    assert report.ok and report.labelled == 2 and report.problems == ()


def test_a_source_that_is_none_is_an_error(tmp_path):
    with pytest.raises(RequestError, match="no such file"):
        check(DataConfig(source=str(tmp_path / "nowhere")))
