"""Relations between names, from a csv or tsv: for analogies."""

from pathlib import Path

from geomclip.data.csv_rows import csv_rows
from geomclip.errors import RequestError

COLUMNS = ("relation", "a", "b")


def read_relations(path: Path) -> dict[str, list[tuple[str, str]]]:
    """Pairs (a, b) by relation, from the columns relation, a and b of a file with a header.

    Raises:
        RequestError: the file can't be read, lacks a column, has no rows, or has a bad row, which
            is named: an empty cell, a pair that is there twice, another number of cells.
    """

    def columns(header: list[str]) -> tuple[str, ...]:
        missing = [name for name in COLUMNS if name not in header]
        if missing:
            raise RequestError(
                f"{path} has no column {' and no column '.join(missing)} "
                f"(it has: {', '.join(header)})",
                "Its first row names the columns relation, a and b.",
            )
        return COLUMNS

    found: dict[str, list[tuple[str, str]]] = {}
    for row, (relation, a, b) in csv_rows(path, columns):
        if not (relation and a and b):
            raise RequestError(f"{path} row {row} has an empty cell", "Fill it in.")
        pairs = found.setdefault(relation, [])
        if (a, b) in pairs:
            raise RequestError(
                f'{path} row {row}: "{a}", "{b}" of {relation} is there twice', "Remove one."
            )
        pairs.append((a, b))
    if not found:
        raise RequestError(f"{path} has no rows", "Give a pair a row.")
    return found
