"""The rows of a csv or tsv with a header, as cells of the columns asked for; for small tables that
are wrong as a whole when one row is (relations, edges of a hierarchy).
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from geomclip.errors import RequestError


def csv_rows(
    path: Path, columns: Callable[[list[str]], Sequence[str]]
) -> Iterator[tuple[int, list[str]]]:
    """(row, cells of the columns in their order, stripped), the header being row 1; empty lines are
    passed over.

    Args:
        path: tab-separated where it ends in .tsv.
        columns: chooses the columns from the header; raises where they are not there.

    Raises:
        RequestError: the file can't be read, or a row has another number of cells than the header.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
            header = [cell.strip() for cell in next(reader, [])]
            at = [header.index(name) for name in columns(header)]
            for row, cells in enumerate(reader, 2):
                if not cells:
                    continue
                if len(cells) != len(header):
                    raise RequestError(
                        f"{path} row {row}: {len(cells)} cells, the header has {len(header)}",
                        "Quote cells with a comma in them.",
                    )
                yield row, [cells[i].strip() for i in at]
    except OSError as error:
        raise RequestError(f"{path}: {error.strerror or error}", "Check the path.") from error
    except UnicodeDecodeError as error:
        raise RequestError(f"{path} is not UTF-8: {error.reason}", "Save it as UTF-8.") from error
    except csv.Error as error:
        raise RequestError(f"{path}: {error}", "Check its quotes.") from error
