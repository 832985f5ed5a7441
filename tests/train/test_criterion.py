"""The table of losses, the configuration's choice of them, and their chance lines."""

import math
import typing
from contextlib import nullcontext as ok
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from batch_gradients import build

from geomclip.errors import RequestError
from geomclip.geometry import build_geometry
from geomclip.losses.table import LOSSES, Sample
from geomclip.train.config import LossConfig
from geomclip.train.criterion import TERMS, Criterion
from geomclip.train.failures import is_finite
from geomclip.train.modality_config import IMAGE_TEXT, Roles

DOCS = Path(__file__).parents[2] / "docs" / "losses"


def test_every_loss_has_a_page_that_the_index_names() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    pages = {row.page for row in LOSSES.values()}
    assert pages == {page.stem for page in DOCS.glob("*.md")} - {"index"}
    for page in pages:
        assert f"\n{page}\n" in index and f"]({page}.md)" in index


def test_the_configuration_offers_what_the_trainer_can_feed() -> None:
    choices = typing.get_args(typing.get_type_hints(LossConfig)["contrastive"])
    assert set(choices) == {name for name, row in LOSSES.items() if row.contrastive and row.term}
    weights = {name for name in TERMS if hasattr(LossConfig(), name)}
    assert weights == set(TERMS) - {"entailment"}  # that one has a schedule of its own
    assert all(getattr(LossConfig(), name) == 0 for name in weights)
    fed = {"features", "ids", "labels", "nodes", "chains", "boxes", "third modality"}
    assert all(set(row.needs) <= fed for row in LOSSES.values())
    # These are of the edges of a hierarchy alone, which the trainer has no batches of.
    assert {name for name, row in LOSSES.items() if not row.term} == {"edges", "order", "ranking"}


@pytest.mark.parametrize("name", [name for name, row in LOSSES.items() if row.contrastive])
def test_what_a_row_asks_for_is_refused_before_a_run_begins(name: str) -> None:
    row, options = LOSSES[name], LossConfig(contrastive=name)  # type: ignore[arg-type]
    assert options.needs_labels == ("labels" in row.needs)
    with pytest.raises(RequestError, match="clip has no entailment cones") if row.cones else ok():
        options.check_geometry("clip", cones=False, sphere=True)
    two = Roles.of(IMAGE_TEXT)
    third = "third modality" in row.needs
    with pytest.raises(RequestError, match="compares three modalities") if third else ok():
        options.check_roles(two)
    # A card says what was minimised, in what.
    assert row.words.format(**vars(options)) and row.unit in ("nats", "score units")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("info_nce", math.log(16)),
        ("supcon", math.log(16)),
        ("angle", math.log(16)),
        ("sigmoid", math.log(16) + 15 * math.log(16 / 15)),
        ("individual", 2 * 0.05 * 1.0),
    ],
)
def test_equal_points_cost_the_chance_line(
    small: SimpleNamespace, name: str, expected: float
) -> None:
    options = LossConfig(contrastive=name)  # type: ignore[arg-type]
    config = small.config(geometry="euclip", loss=options)
    geometry = build_geometry("euclip", 4).double()
    criterion = Criterion(config, geometry, items=16).double()
    assert criterion.chance() == pytest.approx(expected, rel=1e-12)
    same = torch.zeros(16, 4, dtype=torch.float64)
    labels = torch.arange(16)[:, None] // 4
    sample = Sample({"image": same, "text": same}, ids=torch.arange(16), labels=labels)
    loss = criterion.value(name, geometry, sample, 0.1)
    # -log(n - 1), where the bias starts, answers every pair with its share.
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_what_losses_learn_is_logged_and_given_to_the_optimizer(small: SimpleNamespace) -> None:
    geometry = build_geometry("clip", 4)
    config = small.config(loss=LossConfig(contrastive="sigmoid", bias_init=-3.0))
    criterion = Criterion(config, geometry)
    assert criterion.scalars() == {"sigmoid_bias": -3.0}
    assert [n for n, _ in criterion.named_parameters()] == ["states.sigmoid.value"]
    relative = LossConfig(contrastive="sigmoid", bias_form="relative")
    criterion = Criterion(small.config(loss=relative), geometry)
    # -log 15 / beta, with beta = 1 / 0.07.
    assert criterion.scalars()["sigmoid_bias"] == pytest.approx(math.log(15) * 0.07, rel=1e-6)
    config = small.config(loss=LossConfig(contrastive="individual"))
    criterion = Criterion(config, geometry, items=20)
    assert criterion.scalars() == {} and not list(criterion.parameters())
    x = torch.nn.functional.normalize(torch.randn(8, 4), dim=1)
    criterion.value(
        "individual", geometry, Sample({"image": x, "text": x}, ids=torch.arange(8)), 0.1
    )
    criterion.commit_()
    scalars = criterion.scalars()
    assert set(scalars) == {"tau_x", "tau_x_at_min", "tau_y", "tau_y_at_min"}
    assert scalars["tau_x"] != 0.05 and scalars["tau_x_at_min"] == 0
    assert Criterion(small.config(), geometry).scalars() == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"alignment": -1.0}, "loss.alignment must be 0 or more, got -1.0"),
        ({"spread": 0.0}, "loss.spread must be positive, got 0.0"),
        ({"levels": ()}, "loss.levels must be weights of 0 or more, not all 0"),
        ({"levels": (0.0, 0.0)}, "loss.levels must be weights"),
        ({"levels": (1.0, -1.0)}, "loss.levels must be weights"),
        ({"tau_init": 2.0}, "loss.tau_init must be between tau_min 0.005 and tau_max 1.0"),
        ({"tau_decay": 0.0}, r"loss.tau_decay must be in \(0, 1\]"),
        ({"tau_momentum": 1.5}, r"loss.tau_momentum must be in \(0, 1\]"),
        ({"tau_rate": math.nan}, "loss.tau_rate must be 0 or more, got nan"),
        ({"bias_init": math.inf}, "loss.bias_init must be finite, got inf"),
    ],
)
def test_values_that_mean_nothing_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        LossConfig(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("geometry", "loss", "message"),
    [
        ("clip", LossConfig(contrastive="angle"), "contrastive angle: clip has no .* cones"),
        ("elliptic", LossConfig(chains=0.1), r"--loss.chains 0.1: elliptic has no .* cones"),
        ("meru", LossConfig(metric="chord"), "points of meru do not lie on a sphere"),
    ],
)
def test_losses_that_a_geometry_has_not_are_refused(
    small: SimpleNamespace, geometry: str, loss: LossConfig, message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        small.config(geometry=geometry, loss=loss)


def test_what_losses_learn_must_be_finite_to_be_saved(small: SimpleNamespace) -> None:
    model = build("clip", "vit")
    config = small.config(loss=LossConfig(contrastive="sigmoid"))
    criterion = Criterion(config, model.geometry)
    assert is_finite(model, criterion)
    with torch.no_grad():
        next(criterion.parameters()).fill_(math.nan)
    assert not is_finite(model, criterion)
