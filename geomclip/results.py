"""What a comparison leaves behind: one structure, written as results.json and results.csv.

The report is a pure function of `Results`, so that it can be rebuilt from results.json alone.
"""

import csv
import dataclasses
import io
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geomclip.errors import RequestError
from geomclip.statistics import Estimate, estimate
from geomclip.train.files import disk_errors, write_text

SCHEMA = "geomclip-compare/1"

SPLITS = {
    "heldout_rendition": "Held-out rendition",
    "heldout_emoji": "Held-out emoji",
    "validation": "Validation",
    "train": "Training",
}


@dataclass(frozen=True)
class MetricInfo:
    """How a metric is named and read. `kind`: share (of test items), number, radians or seconds."""

    label: str
    kind: str
    higher_is_better: bool | None
    meaning: str


def _recall(k: int, asked: str, answered: str) -> str:
    return f"share of {asked} whose own {answered} is among the first {k} of all candidates"


# Names of DESIGN.md section 8, in the order of the report's table.
METRICS: dict[str, MetricInfo] = {
    **{
        f"i2t_r{k}": MetricInfo(
            f"Image → text R@{k}", "share", True, _recall(k, "pictures", "name")
        )
        for k in (1, 5, 10)
    },
    **{
        f"t2i_r{k}": MetricInfo(
            f"Text → image R@{k}", "share", True, _recall(k, "names", "picture")
        )
        for k in (1, 5, 10)
    },
    "zeroshot_subgroup_acc": MetricInfo(
        "Zero-shot subgroup", "share", True, "share of pictures put into their own subgroup"
    ),
    "zeroshot_group_acc": MetricInfo(
        "Zero-shot group", "share", True, "share of pictures put into their own group"
    ),
    "pixel_nn_r1": MetricInfo(
        "Raw-pixel nearest neighbour R@1", "share", True,
        "share of pictures whose nearest training picture, pixel by pixel, has the same name",
    ),
    "root_tau": MetricInfo(
        "Root order (Kendall τ)", "number", True,
        "agreement of root distance with the level of the hierarchy, from group text to picture; "
        "1 is perfect order, 0 none",
    ),
    "root_tau_texts": MetricInfo(
        "Root order of the texts alone (Kendall τ)", "number", True,
        "the same without the picture; pictures that merely lie beyond all texts make a root order "
        "of 0.5 of no order at all",
    ),
    "root_auc": MetricInfo(
        "Pictures beyond names (AUC)", "number", None,
        "chance that a picture lies farther from the root than a name's text; 0.5 where the two "
        "are mixed, 1 where every picture lies beyond every name",
    ),
    "modality_accuracy": MetricInfo(
        "Texts told from pictures by a plane", "share", None,
        "accuracy of a linear discriminant in the tangent space, on points it was not fitted to; "
        "a half where texts and pictures are mixed",
    ),
    "ancestor_ap": MetricInfo(
        "Ancestors by score (MAP)", "number", True,
        "mean average precision of a picture's own labels among all labels above the names, "
        "ranked by the geometry's own score",
    ),
    "cone_ancestor_ap": MetricInfo(
        "Ancestors by cone (MAP)", "number", True,
        "the same, ranked by how deep the picture lies in the labels' cones",
    ),
    "cone_own_group": MetricInfo(
        "In the own group's cone", "share", True,
        "share of pictures inside the entailment cone of their own group's text",
    ),
    "cone_other_group": MetricInfo(
        "In another group's cone", "share", False,
        "share of (picture, other group) pairs with the picture inside that group's cone",
    ),
    "cone_aperture_group": MetricInfo(
        "Half aperture of group cones", "radians", None,
        "mean half aperture of the groups' cones; π/2 is a half space, which tells nothing",
    ),
    "cone_auc_group": MetricInfo(
        "Cone AUC", "number", True,
        "chance that a picture lies deeper in its own group's cone than another's; 0.5 is chance",
    ),
    "train_seconds": MetricInfo("Training, wall time", "seconds", None, "seconds on the clock"),
    "train_cpu_seconds": MetricInfo("Training, CPU time", "seconds", None, "CPU seconds"),
}  # fmt: skip


@dataclass(frozen=True, order=True)
class Row:
    """One number, as in results.csv: shares between 0 and 1, angles in radians."""

    geometry: str
    entailment: float
    seed: int
    split: str
    metric: str
    value: float


@dataclass(frozen=True)
class Variant:
    """What is compared: a geometry with an entailment weight."""

    geometry: str
    entailment: float = 0.0

    @property
    def key(self) -> str:
        """Name in run folders and anchors: `clip`, `euclip-ent0.2`."""
        return self.geometry + (f"-ent{self.entailment:g}" if self.entailment > 0 else "")


@dataclass(frozen=True)
class RunResult:
    """One trained model: how it was made, its curves, its root distances and cones.

    `curves` holds lists of equal length (None where a step has no value), always with "step".
    `distances` maps a level ("group", ..., "image") to its root distances, ascending.
    `cones` has one dict a level: level, own, other, aperture, exterior, violation (radians), auc.
    `errors` holds, by split and metric, standard errors over the test items of numbers that are no
    shares of them.
    """

    name: str
    variant: Variant
    seed: int
    config: dict[str, Any]
    curves: dict[str, list[float | None]] = field(default_factory=dict)
    distances: dict[str, list[float]] = field(default_factory=dict)
    cones: tuple[dict[str, Any], ...] = ()
    parameters: int | None = None
    notes: tuple[str, ...] = ()
    errors: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Results:
    """Everything a comparison found. See `to_dict` for the layout of results.json.

    Args:
        spaces: what the explorer draws (`geomclip.viz.explorer.atlas`), as `atlas`, with `notes`.
        traversals: by variant, what the ways from its pictures to the root meet.
        left_out: by section of the report, why it could not be made; under "runs" which are
            missing, and why.
    """

    settings: dict[str, Any]
    environment: dict[str, Any]
    data: dict[str, Any]
    rows: tuple[Row, ...]
    references: tuple[dict[str, Any], ...] = ()
    runs: tuple[RunResult, ...] = ()
    gallery: dict[str, Any] = field(default_factory=dict)
    spaces: dict[str, Any] = field(default_factory=dict)
    traversals: dict[str, Any] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def variants(self) -> list[Variant]:
        """The compared variants in the order of the request."""
        return list(dict.fromkeys(run.variant for run in self.runs))

    @property
    def splits(self) -> list[str]:
        """Evaluation splits with numbers, the main one first."""
        found = {row.split for row in self.rows} - {"train"}
        known = [name for name in SPLITS if name in found]
        return known + sorted(found - set(known))

    def items(self, split: str) -> int | None:
        """Number of test items (asked pictures) of a split."""
        entry = self.data.get("splits", {}).get(split)
        return None if entry is None else int(entry["queries"])

    def values(self, variant: Variant, split: str, metric: str) -> list[float]:
        """One value per seed, in the order of the seeds."""
        found = [
            row for row in self.rows
            if (row.geometry, row.entailment) == (variant.geometry, variant.entailment)
            and (row.split, row.metric) == (split, metric)
        ]  # fmt: skip
        return [row.value for row in sorted(found, key=lambda row: row.seed)]

    def estimate(self, variant: Variant, split: str, metric: str) -> Estimate | None:
        """Mean, spread and standard error of a metric; None where there is no such number."""
        values = self.values(variant, split, metric)
        if not values:
            return None
        errors = [
            run.errors.get(split, {}).get(metric) for run in self.runs if run.variant == variant
        ]
        known = [error for error in errors if error is not None]
        if known and len(known) == len(errors):
            # The same items under every seed: their error does not shrink with the seeds.
            own = math.sqrt(math.fsum(error**2 for error in known) / len(known))
            return dataclasses.replace(estimate(values), item_error=own)
        is_share = metric in METRICS and METRICS[metric].kind == "share"
        return estimate(values, self.items(split) if is_share else None)

    def reference(self, name: str, split: str, metric: str) -> float | None:
        """Value of a reference that needs no training: chance, majority or pixel_nn."""
        for entry in self.references:
            if (entry["reference"], entry["split"], entry["metric"]) == (name, split, metric):
                return float(entry["value"])
        return None

    def to_dict(self) -> dict[str, Any]:
        """The layout of results.json."""
        return {
            "schema": SCHEMA,
            "settings": self.settings,
            "environment": self.environment,
            "data": self.data,
            "rows": [dataclasses.asdict(row) for row in self.rows],
            "references": list(self.references),
            "runs": [_run_to_dict(run) for run in self.runs],
            "gallery": self.gallery,
            "spaces": self.spaces,
            "traversals": self.traversals,
            "left_out": self.left_out,
        }

    def light(self) -> dict[str, Any]:
        """`to_dict` without the pictures and the explorer's points, which make most of it."""
        values = self.to_dict()
        gallery = {k: v for k, v in self.gallery.items() if k != "pictures"}
        spaces = {k: v for k, v in self.spaces.items() if k != "atlas"}
        return values | {"gallery": gallery, "spaces": spaces}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Results":
        """The inverse of `to_dict`. Raises RequestError for another schema."""
        if values.get("schema") != SCHEMA:
            raise RequestError(
                f"results: schema {values.get('schema')!r} is not {SCHEMA!r}",
                "Give the results.json of this version's `geomclip compare`.",
            )
        return cls(
            settings=values["settings"],
            environment=values["environment"],
            data=values["data"],
            rows=tuple(Row(**row) for row in values["rows"]),
            references=tuple(values["references"]),
            runs=tuple(_run_from_dict(run) for run in values["runs"]),
            gallery=values["gallery"],
            spaces=values.get("spaces", {}),
            traversals=values.get("traversals", {}),
            left_out=values.get("left_out", {}),
        )

    def to_csv(self) -> str:
        """The text of results.csv: geometry,entailment,seed,split,metric,value."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([f.name for f in dataclasses.fields(Row)])
        for row in self.rows:
            writer.writerow(
                [
                    row.geometry,
                    f"{row.entailment:g}",
                    row.seed,
                    row.split,
                    row.metric,
                    repr(row.value),
                ]
            )
        return text.getvalue()


def read_results(path: Path) -> Results:
    """Read results.json. Raises RequestError when it is missing or unreadable."""
    try:
        return Results.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise RequestError(f"{path}: there is no such file", "Run `geomclip compare`.") from None
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise RequestError(
            f"{path}: not the results of a comparison ({error!r})", "Run `geomclip compare` again."
        ) from None


def write_results(results: Results, out: Path) -> None:
    """Write results.json and results.csv, each whole or not at all. Raises GeomclipError."""
    write_file(out / "results.json", json.dumps(finite(results.to_dict()), indent=1) + "\n")
    write_file(out / "results.csv", results.to_csv())


def write_file(path: Path, text: str) -> None:
    """Write a file under a temporary name, then rename: a full disk leaves the old file whole."""
    way_out = "Free some space or choose another --out, then run the same command again."
    with disk_errors(f"{path} could not be written", way_out):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)


def finite(value: Any) -> Any:
    """`value` with NaN and infinities as None: JSON has neither."""
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _run_to_dict(run: RunResult) -> dict[str, Any]:
    values = {f.name: getattr(run, f.name) for f in dataclasses.fields(run)}
    del values["variant"]
    return values | {
        "geometry": run.variant.geometry,
        "entailment": run.variant.entailment,
        "cones": list(run.cones),
        "notes": list(run.notes),
    }


def _run_from_dict(values: dict[str, Any]) -> RunResult:
    rest = dict(values)
    variant = Variant(rest.pop("geometry"), rest.pop("entailment"))
    rest["cones"], rest["notes"] = tuple(rest["cones"]), tuple(rest["notes"])
    return RunResult(variant=variant, **rest)
