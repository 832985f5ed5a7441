"""F1 and its threshold: by hand, with ties, and against all thresholds there are."""

import numpy as np
import pytest

from geomclip.evaluate import best_threshold, f1_score


def test_by_hand():
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.1])
    truth = np.array([True, False, True, True, False])
    # At 0.6 four are called positive and three of them are: 2 * 3 / (4 + 3).
    found = best_threshold(scores, truth)
    assert (found.value, found.f1) == (0.6, 6 / 7)
    assert f1_score(scores, truth, 0.65) == 4 / 6
    assert f1_score(scores, truth, 1.0) == 0


def test_equal_scores_cannot_be_parted():
    scores = np.array([1.0, 0.0, 0.0, 0.0])
    truth = np.array([True, True, False, False])
    found = best_threshold(scores, truth)
    # Only the first: 2/3. All four, for the threshold takes all zeros or none: 4/6. The higher one.
    assert (found.value, found.f1) == (1.0, 2 / 3)


def test_no_threshold_is_better():
    generator = np.random.default_rng(0)
    scores = generator.integers(0, 20, 200) / 7
    truth = generator.random(200) < 0.1 + scores / 4
    found = best_threshold(scores, truth)
    everywhere = [f1_score(scores, truth, t) for t in np.unique(scores)]
    assert found.f1 == pytest.approx(max(everywhere), rel=1e-15)
    assert f1_score(scores, truth, found.value) == pytest.approx(found.f1, rel=1e-15)


def test_errors_count_what_is_wrong():
    with pytest.raises(ValueError, match="none of 2 pairs is positive"):
        best_threshold(np.zeros(2), np.zeros(2, bool))
    with pytest.raises(ValueError, match="1 of 2 scores are NaN"):
        f1_score(np.array([np.nan, 1.0]), np.ones(2, bool), 0.5)
