"""python -m manifolds.accuracy: the accuracy table.

    --table          prints it, with the count of regimes inside their limits
    --peers          measures geoopt, hypll and the textbook formulas too
    --only TEXT      only regimes whose name (quantity/part/manifold/dtype/kind/r) contains it
    --json F         writes counts and regimes
    --markdown F     rewrites the table between its two markers in F

Exits with 1 if a regime of ours misses its limit, with 2 if the request was wrong.
"""

import argparse
import json
import sys
from pathlib import Path

import torch

from manifolds.accuracy.peers import peers
from manifolds.accuracy.regimes import regimes
from manifolds.accuracy.table import Table, markdown, measure, plain, summary

BEGIN, END = "<!-- accuracy table: begin -->", "<!-- accuracy table: end -->"


def rewritten(text: str, table: Table) -> str:
    """The text with the table between the markers.

    Raises:
        ValueError: a marker is missing.
    """
    before, found, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (found and end):
        raise ValueError(f"no table to rewrite: the lines {BEGIN} and {END} must be there")
    return f"{before}{BEGIN}\n\n{markdown(table)}\n\n{END}{after}"


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done}/{total} groups of regimes", end="", file=sys.stderr, flush=True)
        if done == total:
            print(file=sys.stderr)
    elif done == total or (done and done % 100 == 0):
        print(f"{done}/{total} groups of regimes", file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m manifolds.accuracy",
        description="Errors of every operation against a high-precision reference.",
    )
    parser.add_argument("--table", action="store_true", help="print the table (default: counts)")
    parser.add_argument("--peers", action="store_true", help="measure geoopt, hypll, textbook too")
    parser.add_argument("--only", default="", metavar="TEXT", help="regimes whose name contains it")
    parser.add_argument("--json", type=Path, metavar="F", help="write counts and regimes to F")
    parser.add_argument("--markdown", type=Path, metavar="F", help="rewrite the table in F")
    options = parser.parse_args(arguments)
    chosen = [r for r in regimes() if options.only in r.name]
    if not chosen:
        print(f"no regime's name contains {options.only!r}", file=sys.stderr)
        return 2
    others, missing = peers() if options.peers else ({}, [])
    for notice in missing:
        print(notice, file=sys.stderr)
    torch.set_num_threads(1)
    try:
        table = measure(chosen, others, _progress)
    except ImportError as error:
        print(error, file=sys.stderr)
        return 2
    if options.table:
        print(plain(table))
    print("\n".join(summary(table)))
    for line in table.missed():
        found = line.errors["manifolds"]
        print(f"outside: {line.regime.name}: {found:.3g} eps, limit {line.regime.limit:g}")
    try:
        if options.json is not None:
            options.json.write_text(json.dumps(table.to_dict(), indent=1) + "\n")
        if options.markdown is not None:
            text = options.markdown.read_text()
            options.markdown.write_text(rewritten(text, table))
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 1 if table.missed() else 0


if __name__ == "__main__":
    sys.exit(main())
