"""The table: numbers with spread, bold only where the spread allows, references beside them."""

import dataclasses
import math

import comparing

from geomclip.analysis.result import Row
from geomclip.results import Variant
from geomclip.statistics import Measured
from geomclip.viz import deviations, tables
from geomclip.viz.text import text_table

CLIP, MERU = Variant("clip"), Variant("meru")


def row(results, label):
    return next(r for b in tables.metric_blocks(results) for r in b.rows if r.label == label)


def test_bold_is_the_lead_beyond_the_spread(full):
    found = row(full, "Image → text R@10")
    assert [cell.best for cell in found.cells] == [True, False, False, False]
    assert found.cells[0].text == "50.5" and found.cells[0].margin == "0.7"
    assert not any(cell.best for cell in row(full, "Text → image R@10").cells)


def test_one_seed_has_no_bold():
    results = comparing.made_up({CLIP: {"i2t_r10": [0.9]}, MERU: {"i2t_r10": [0.1]}})
    assert not any(cell.best for cell in row(results, "Image → text R@10").cells)


def test_what_is_neither_good_nor_bad_is_never_bold(full):
    for label in ("Half aperture of group cones", "Training, wall time"):
        assert not any(cell.best for cell in row(full, label).cells)


def test_references_stand_in_their_columns(full):
    assert row(full, "Image → text R@10").references == ("0.6", "", "")
    assert row(full, "Zero-shot group").references == ("", "22.6", "")
    assert row(full, "Image → text R@1").references == ("", "", "31.7")


def test_a_number_that_does_not_exist_is_a_dash(full):
    assert [c.text for c in row(full, "Cone AUC").cells] == ["–", "–", "–", "0.805"]


def test_cones_are_left_out_without_entailed_runs():
    results = comparing.made_up({MERU: {"cone_own_group": [0.0], "i2t_r10": [0.2]}})
    labels = [r.label for b in tables.metric_blocks(results) for r in b.rows]
    assert labels == ["Image → text R@10"]


def test_cone_table_has_every_level_with_its_angles(full):
    table = tables.cone_table(full)
    assert table.rows == (
        ("MERU λ\u202f0.2, group", "70.0", "25.0", "1.100", "0.950", "0.140", "0.0", "0.800"),
    )


def test_text_table_has_every_number_of_the_report(full):
    text = text_table(full)
    for block in tables.metric_blocks(full):
        for found in block.rows:
            line = next(line for line in text.splitlines() if line.strip().startswith(found.label))
            assert all(cell.text in line for cell in found.cells)
    assert "50.5 ± 0.7*" in text


def test_deviations_name_the_papers_values(full):
    settings = {s.label: s for s in deviations.deviations(full)}
    batch = settings["Batch"]
    assert batch.paper == "4,096" and batch.values == ("128",) * 4 and all(batch.differs)
    curvature = settings["Initial curvature c"]
    assert curvature.values == ("–", "–", "1", "1") and not any(curvature.differs)
    # EuCLIP's published towers have no final LayerNorm, the others do; these runs all have it.
    assert settings["Final LayerNorm in the towers"].differs == (False, True, False, False)
    scale = settings["Initial logit_scale, ln β"]
    assert not any(scale.differs)
    assert scale.values == (f"{math.log(1 / 0.07):.3g}", "0", "2.66", "2.66")


def test_a_value_that_reads_as_the_papers_is_no_departure(full):
    runs = tuple(
        dataclasses.replace(r, config=r.config | {"init_logit_scale": 2.66}) for r in full.runs
    )
    rows = deviations.deviations(dataclasses.replace(full, runs=runs))
    scale = next(s for s in rows if s.label == "Initial logit_scale, ln β")
    assert scale.values == ("2.66", "2.66 (paper 0)", "2.66", "2.66")
    assert scale.differs == (False, True, False, False)


def test_what_all_items_agree_on_has_no_digits_of_error():
    texts = [
        Row("key", "Label", Measured(value, error, 9), is_share=share).text
        for value, error, share in [(1.0, 0.0, True), (0.0, 0.0, False), (0.25, 0.0, False),
                                    (0.25, 0.0123, True), (-0.5, None, False), (1e-6, 8e-7, True)]
    ]  # fmt: skip
    assert texts == ["100 ± 0", "0 ± 0", "0.25 ± 0", "25.0 ± 1.2", "−0.5", "0.000 ± 0.000"]
