"""What `geomclip evaluate` shows: metrics by split, with errors, and what chance gives."""

from typing import Any

from rich.table import Table

from geomclip.cli.output import table


def summary(values: dict[str, Any]) -> Table:
    """The numbers as a table: metrics by split, what chance gives in brackets."""
    cells: dict[tuple[str, str], str] = {}
    for row in values["rows"]:
        text = f"{row['value']:.4f}"
        if row.get("error") is not None:
            text += f" ± {row['error']:.4f}"
        cells[row["metric"], row["split"]] = text
    for row in values["references"]:
        key = row["metric"], row["split"]
        if row["reference"] == "chance" and key in cells:
            cells[key] += f" ({row['value']:.4f})"
    for split, found in values["splits"].items():
        rows = found.get("tree", {}).get("rows", {})
        cells |= {(what, split): _measured(number) for what, number in rows.items()}
    cells |= _pairs(values.get("pairs", {}))
    if found := values.get("associations"):
        number = found["jaccard"] | {"null": found["chance"]}
        cells["WinoGAViL: Jaccard", "associations"] = _measured(number)
        for size, number in found["by_candidates"].items():
            what = f"WinoGAViL, {size} candidates: Jaccard"
            cells[what, "associations"] = _measured(number)
        cells["WinoGAViL: all right", "associations"] = f"{found['exact']:.4f}"
    for root, numbers in values.get("hierarcaps", {}).items():
        for what, number in numbers.items():
            cells[f"HierarCaps, root {root}: {what}", "hierarcaps"] = _measured(number)
    splits = list(dict.fromkeys(split for _, split in cells))
    return table(
        f"{values['source']}: {values['geometry']} on {values['data']} (in brackets: chance)",
        ["metric", *splits],
        [
            [metric, *(cells.get((metric, split), "") for split in splits)]
            for metric in dict.fromkeys(metric for metric, _ in cells)
        ],
    )


def _pairs(found: dict[str, Any]) -> dict[tuple[str, str], str]:
    """Categories, groups and the mean: 0.712, 0.690 to 0.733 (0.500)."""
    if not found:
        return {}
    rows = dict(found["categories"])
    rows |= {f"mean of {group}": one for group, one in found["groups"].items()}
    if len(found["categories"]) > 1:
        rows["mean of all"] = found["mean"]
    return {
        (f"pairs, {name}", "pairs"): f"{one['accuracy']:.4f}, {one['low']:.4f} to "
        f"{one['high']:.4f} (0.5000)" + (f", {one['ties']} ties" if one["ties"] else "")
        for name, one in rows.items()
    }


def _measured(number: dict[str, Any]) -> str:
    """0.712 ± 0.010 (0.500): a value, its standard error, what shuffled labels give."""
    text = f"{number['value']:.4f}"
    if number["error"] is not None:
        text += f" ± {number['error']:.4f}"
    return text if number["null"] is None else f"{text} ({number['null']:.4f})"
