"""results.json and results.csv: the published layout, there and back, whole or not at all."""

import csv
import errno
import json

import comparing
import pytest

from geomclip.errors import GeomclipError, RequestError
from geomclip.results import METRICS, Results, Variant, read_results, write_results

CLIP, EUCLIP = Variant("clip"), Variant("euclip", 0.2)


@pytest.fixture
def results():
    return comparing.made_up(
        {CLIP: {"i2t_r1": [0.25, 0.1]}, EUCLIP: {"i2t_r1": [1 / 3, 0.0], "root_tau": [-0.5, 0.5]}}
    )


def test_csv_has_the_published_columns(results, tmp_path):
    write_results(results, tmp_path)
    lines = (tmp_path / "results.csv").read_text().splitlines()
    assert lines[0] == "geometry,entailment,seed,split,metric,value"
    assert lines[1] == "clip,0,0,heldout_rendition,i2t_r1,0.25"
    rows = list(csv.DictReader(lines))
    assert float(rows[2]["value"]) == 1 / 3
    assert {row["entailment"] for row in rows} == {"0", "0.2"}


def test_json_goes_there_and_back(results, tmp_path):
    write_results(results, tmp_path)
    again = read_results(tmp_path / "results.json")
    assert again.rows == results.rows and again.variants == results.variants
    assert json.loads(json.dumps(again.to_dict())) == json.loads(json.dumps(results.to_dict()))


def test_metric_names_are_those_that_others_rely_on():
    published = (
        "i2t_r1 i2t_r5 i2t_r10 t2i_r1 t2i_r5 t2i_r10 zeroshot_group_acc zeroshot_subgroup_acc "
        "pixel_nn_r1 root_tau cone_own_group cone_other_group cone_aperture_group cone_auc_group "
        "train_seconds train_cpu_seconds "
        "root_tau_texts root_auc modality_accuracy ancestor_ap cone_ancestor_ap"
    )
    assert set(METRICS) == set(published.split())


def test_values_come_in_the_order_of_the_seeds(results):
    assert results.values(CLIP, "heldout_rendition", "i2t_r1") == [0.25, 0.1]
    assert results.estimate(CLIP, "heldout_rendition", "root_tau") is None
    assert results.estimate(EUCLIP, "heldout_rendition", "root_tau").item_error is None
    assert results.estimate(CLIP, "heldout_rendition", "i2t_r1").item_error > 0


def test_a_full_disk_leaves_the_old_file(results, tmp_path, monkeypatch):
    write_results(results, tmp_path)
    before = (tmp_path / "results.json").read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(GeomclipError, match="No space left"):
        write_results(results, tmp_path)
    assert (tmp_path / "results.json").read_bytes() == before


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "other/1"}', "\x00"])
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(RequestError, match="geomclip compare"):
        read_results(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RequestError, match="no such file"):
        read_results(tmp_path / "results.json")


def test_schema_is_checked(results):
    with pytest.raises(RequestError, match="schema"):
        Results.from_dict(results.to_dict() | {"schema": "geomclip-compare/0"})
