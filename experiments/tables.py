"""Write the table of a comparison into a page, so that no number there is typed.

    python experiments/tables.py runs/compare/results.json --into README.md --mark compare

The table replaces what stands between `<!-- compare:begin -->` and `<!-- compare:end -->`.
"""

import argparse
import json
import statistics
from collections import defaultdict
from pathlib import Path

from geomclip.pages import written

ROWS = (
    ("heldout_rendition", "i2t_r1", "image → text R@1"),
    ("heldout_rendition", "pixel_nn_r1", "(nearest in raw pixels, rank 1)"),
    ("heldout_rendition", "i2t_r10", "image → text R@10"),
    ("heldout_rendition", "t2i_r10", "text → image R@10"),
    ("heldout_rendition", "zeroshot_group_acc", "zero-shot group (9)"),
    ("heldout_rendition", "zeroshot_subgroup_acc", "zero-shot subgroup (97)"),
    ("heldout_emoji", "i2t_r10", "emoji never seen: image → text R@10"),
    ("heldout_emoji", "zeroshot_group_acc", "emoji never seen: zero-shot group"),
    ("heldout_rendition", "root_tau", "root_tau"),
    ("heldout_rendition", "cone_own_group", "images in own group's cone"),
    ("heldout_rendition", "cone_other_group", "images in other groups' cones"),
    ("heldout_rendition", "cone_aperture_group", "mean half aperture, rad"),
    ("heldout_rendition", "cone_auc_group", "AUC of the cones"),
    ("train", "train_cpu_seconds", "training, CPU seconds"),
    ("train", "train_seconds", "training, wall seconds"),
)
SHARES = ("_r1", "_r5", "_r10", "_acc", "_own_group", "_other_group")


def cell(metric: str, values: list[float]) -> str:
    """Mean and, over several seeds, the standard deviation; shares as percentages."""
    if not values:
        return "-"
    scale, digits = (100, 1) if metric.endswith(SHARES) else (1, 3)
    if metric.endswith("seconds"):
        digits = 0
    unit = " %" if scale == 100 else ""
    mean = f"{scale * statistics.mean(values):.{digits}f}"
    if len(values) > 1:
        mean += f" ± {scale * statistics.stdev(values):.{digits}f}"
    return mean + unit


def table(results: dict) -> str:
    """A markdown table: one column per geometry and entailment weight, one row per metric."""
    values: dict[tuple, list[float]] = defaultdict(list)
    columns: list[tuple[str, float]] = []
    for row in results["rows"]:
        column = (row["geometry"], float(row["entailment"]))
        if column not in columns:
            columns.append(column)
        values[column, row["split"], row["metric"]].append(row["value"])
    heads = [g if not e else f"{g}, λ = {e:g}" for g, e in columns]
    lines = ["| | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(columns)]
    for split, metric, label in ROWS:
        cells = [cell(metric, values[column, split, metric]) for column in columns]
        if any(c != "-" for c in cells):
            lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_between(path: Path, mark: str, text: str) -> None:
    """Put `text` between the marks of that name in a page."""
    try:
        new = written(path.read_text(encoding="utf-8"), mark, text)
    except ValueError as error:
        raise SystemExit(f"{path}: {error}") from None
    path.write_text(new, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="results.json of a comparison")
    parser.add_argument("--into", type=Path, help="page to write into; printed when not given")
    parser.add_argument("--mark", default="compare", help="name of the marks in the page")
    arguments = parser.parse_args()
    text = table(json.loads(arguments.results.read_text(encoding="utf-8")))
    if arguments.into is None:
        print(text)
        return
    write_between(arguments.into, arguments.mark, text)


if __name__ == "__main__":
    main()
