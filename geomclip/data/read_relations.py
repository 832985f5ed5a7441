"""Relations between names, from a csv or tsv: for analogies."""

import csv
from pathlib import Path

from geomclip.errors import RequestError

COLUMNS = ("relation", "a", "b")


def read_relations(path: Path) -> dict[str, list[tuple[str, str]]]:
    """Pairs (a, b) by relation, from the columns relation, a and b of a file with a header.

    Raises:
        RequestError: the file can't be read, lacks a column, has no rows, or has a bad row, which
            is named: an empty cell, a pair that is there twice, another number of cells.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
            header = [cell.strip() for cell in next(reader, [])]
            missing = [name for name in COLUMNS if name not in header]
            if missing:
                raise RequestError(
                    f"{path} has no column {' and no column '.join(missing)} "
                    f"(it has: {', '.join(header)})",
                    "Its first row names the columns relation, a and b.",
                )
            at = [header.index(name) for name in COLUMNS]
            for row, cells in enumerate(reader, 2):
                if not cells:
                    continue
                if len(cells) != len(header):
                    raise RequestError(
                        f"{path} row {row}: {len(cells)} cells, the header has {len(header)}",
                        "Quote cells with a comma in them.",
                    )
                relation, a, b = (cells[i].strip() for i in at)
                if not (relation and a and b):
                    raise RequestError(f"{path} row {row} has an empty cell", "Fill it in.")
                pairs = found.setdefault(relation, [])
                if (a, b) in pairs:
                    raise RequestError(
                        f'{path} row {row}: "{a}", "{b}" of {relation} is there twice',
                        "Remove one.",
                    )
                pairs.append((a, b))
    except OSError as error:
        raise RequestError(f"{path}: {error.strerror or error}", "Check the path.") from error
    except UnicodeDecodeError as error:
        raise RequestError(f"{path} is not UTF-8: {error.reason}", "Save it as UTF-8.") from error
    except csv.Error as error:
        raise RequestError(f"{path}: {error}", "Check its quotes.") from error
    if not found:
        raise RequestError(f"{path} has no rows", "Give a pair a row.")
    return found
