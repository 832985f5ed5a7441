"""Made-up results, and the functions that make them."""

import comparing
import pytest

from geomclip.results import Results, Variant

CLIP, EUCLIP, MERU = Variant("clip"), Variant("euclip"), Variant("meru")
CONES = Variant("meru", 0.2)


@pytest.fixture(scope="session")
def full() -> Results:
    """Three geometries, one of them also with cones, two seeds, every kind of metric."""
    common = {"i2t_r1": [0.1, 0.11], "t2i_r10": [0.3, 0.31], "zeroshot_group_acc": [0.5, 0.52],
              "train_seconds": [100.0, 103.0], "root_tau": [0.2, 0.25]}  # fmt: skip
    cones = {"cone_own_group": [0.7, 0.72], "cone_other_group": [0.2, 0.22],
             "cone_aperture_group": [1.1, 1.12], "cone_auc_group": [0.8, 0.81]}  # fmt: skip
    return comparing.made_up(
        {
            CLIP: common | {"i2t_r10": [0.50, 0.51]},
            EUCLIP: common | {"i2t_r10": [0.40, 0.41]},
            MERU: common | {"i2t_r10": [0.41, 0.42]},
            CONES: common | cones | {"i2t_r10": [0.30, 0.31]},
        }
    )
