"""The words say what the numbers allow, and nothing more."""

import comparing
import pytest

from geomclip.results import Variant
from geomclip.viz.standings import standing
from geomclip.viz.verdict import verdict

CLIP, EUCLIP, MERU = Variant("clip"), Variant("euclip"), Variant("meru")


def text(result):
    return " ".join([result.headline, *(f.text for f in result.findings), *result.limits])


def test_a_clear_lead_over_seeds_is_said():
    results = comparing.made_up(
        {CLIP: {"i2t_r10": [0.50, 0.51, 0.49]}, MERU: {"i2t_r10": [0.30, 0.31, 0.29]}}
    )
    assert verdict(results).headline == (
        "CLIP leads on every headline measure, by more than chance gives."
    )


def test_overlapping_seeds_give_no_leader():
    results = comparing.made_up(
        {CLIP: {"i2t_r10": [0.50, 0.30, 0.40]}, MERU: {"i2t_r10": [0.35, 0.45, 0.37]}}
    )
    said = verdict(results)
    assert said.headline.startswith("No geometry is clearly ahead")
    assert "too small to tell the two apart" in text(said)
    assert "leads" not in said.headline


def test_one_seed_never_claims_a_lead_of_a_geometry():
    results = comparing.made_up({CLIP: {"i2t_r10": [0.60]}, MERU: {"i2t_r10": [0.20]}})
    said = verdict(results)
    assert said.headline == (
        "In this one seed CLIP came out ahead in finding a picture's name. Whether another seed "
        "would agree is not known."
    )
    assert "leads" not in text(said)
    assert any(limit.startswith("One seed") for limit in said.limits)


def test_one_seed_within_the_error_of_the_items_has_nobody_ahead():
    results = comparing.made_up({CLIP: {"i2t_r10": [0.402]}, MERU: {"i2t_r10": [0.400]}})
    assert "no geometry ahead" in verdict(results).headline


def test_tau_of_one_seed_is_not_ranked():
    results = comparing.made_up({CLIP: {"root_tau": [0.9]}, MERU: {"root_tau": [-0.2]}})
    finding = next(f for f in verdict(results).findings if f.title == "Hierarchy")
    assert "not ranked" in finding.text and "ahead" not in finding.text


def findings(results):
    return {finding.title: finding.text for finding in verdict(results).findings}


def test_the_papers_question_is_answered_with_and_without_entailment():
    cones, seeds = Variant("meru", 0.2), [0.0, 0.01, -0.01]

    def values(**means):
        return {metric: [mean + s for s in seeds] for metric, mean in means.items()}

    results = comparing.made_up(
        {
            CLIP: values(root_tau=0.6, ancestor_ap=0.4, root_auc=0.3, modality_accuracy=0.95),
            MERU: values(root_tau=0.1, ancestor_ap=0.5, root_auc=0.1, modality_accuracy=0.9),
            cones: values(
                root_tau=0.9, ancestor_ap=0.45, root_auc=0.95, modality_accuracy=0.97,
                cone_ancestor_ap=0.7, cone_own_group=0.7, cone_other_group=0.2,
                cone_aperture_group=1.1,
            ),
        }
    )  # fmt: skip
    said = findings(results)
    assert "CLIP is ahead of the others" in said["Hierarchy"]
    assert "MERU is ahead of the others" in said["Ancestors"]
    assert "in the labels' cones, with entailment: MERU λ" in said["Ancestors"]
    without, with_it = said["Texts and pictures"].split("without entailment", 1)
    assert "0.300" in without and "0.950" in with_it and "CLIP" not in with_it.split("with it")[0]
    assert "0.450 against 0.500 without entailment" in said["Entailment, MERU λ\u202f0.2"]
    plain = comparing.made_up({CLIP: {"root_auc": [0.3]}, MERU: {"root_auc": [0.9]}})
    assert "--entailment 0,0.2 adds such runs" in findings(plain)["Texts and pictures"]


def test_one_seed_is_ranked_beyond_the_error_of_its_items_and_no_further():
    import dataclasses

    results = comparing.made_up({CLIP: {"ancestor_ap": [0.6]}, MERU: {"ancestor_ap": [0.5]}})
    assert "not ranked" in findings(results)["Ancestors"]
    for error, words in ((0.01, "CLIP is ahead of the others in these runs"), (0.1, "too small")):
        errors = {"heldout_rendition": {"ancestor_ap": error}}
        runs = tuple(dataclasses.replace(run, errors=errors) for run in results.runs)
        known = dataclasses.replace(results, runs=runs)
        assert words in findings(known)["Ancestors"] and "±" in findings(known)["Ancestors"]
        assert known.estimate(CLIP, "heldout_rendition", "ancestor_ap").item_error == error


def test_part_of_the_field_can_be_behind():
    results = comparing.made_up(
        {
            CLIP: {"i2t_r10": [0.50, 0.505, 0.495]},
            EUCLIP: {"i2t_r10": [0.30, 0.31, 0.29]},
            MERU: {"i2t_r10": [0.495, 0.50, 0.505]},
        }
    )
    found = standing(results, "heldout_rendition", "i2t_r10", results.variants)
    assert found.leader is None
    assert set(found.level_with_best) | {found.ranked[0][0]} == {CLIP, MERU}
    assert "can't be told apart; EuCLIP is behind" in text(verdict(results))


def test_less_is_better_where_it_is():
    results = comparing.made_up(
        {MERU: {"cone_other_group": [0.1, 0.11]}, EUCLIP: {"cone_other_group": [0.6, 0.61]}}
    )
    found = standing(results, "heldout_rendition", "cone_other_group", results.variants)
    assert found.leader == MERU


@pytest.mark.parametrize(("first", "words"), [(0.5, "this passes"), (0.1, "no run reaches")])
def test_the_raw_pixel_reference_is_quoted(first, words):
    results = comparing.made_up({CLIP: {"i2t_r1": [first], "i2t_r10": [0.6]}})
    retrieval = next(f for f in verdict(results).findings if f.title == "Retrieval")
    assert "31.7" in retrieval.text and words in retrieval.text


def test_half_space_cones_are_called_that():
    cone = {"cone_own_group": [0.99], "cone_other_group": [0.97], "cone_auc_group": [0.5]}
    values = {"i2t_r10": [0.3], "cone_aperture_group": [1.571], **cone}
    results = comparing.made_up({MERU: {"i2t_r10": [0.4]}, Variant("meru", 0.2): values})
    finding = next(f for f in verdict(results).findings if f.title.startswith("Entailment"))
    assert "half space" in finding.text and "2.0 points apart" in finding.text


def test_the_order_of_entailed_runs_stands_beside_the_others():
    runs = {MERU: {"root_tau": [0.1]}, Variant("meru", 0.2): {"root_tau": [0.9]}}
    finding = next(f for f in verdict(comparing.made_up(runs)).findings if f.title == "Hierarchy")
    assert "With the entailment loss: MERU λ\u202f0.2 0.900" in finding.text.replace("\xa0", " ")
    alone = verdict(comparing.made_up({Variant("meru", 0.2): {"root_tau": [0.9]}})).findings
    assert all("With the entailment loss" not in f.text for f in alone)


def test_a_run_at_its_bound_is_mentioned():
    import dataclasses

    results = comparing.made_up({MERU: {"i2t_r10": [0.4]}})
    run = dataclasses.replace(results.runs[0], notes=("c ended at its lower bound",))
    said = verdict(dataclasses.replace(results, runs=(run,)))
    assert "MERU, seed 0: c ended at its lower bound" in said.limits


def test_nothing_to_compare():
    assert "alone" in verdict(comparing.made_up({CLIP: {"i2t_r10": [0.4]}})).headline
