"""The figures of the docs' pages on geometries, losses and metrics, from the library itself.

python experiments/figures/make.py               # all of them, into docs/figures
python experiments/figures/make.py loss-gram     # one
"""

import sys
from pathlib import Path

import geometries
import losses
import metrics

FIGURES = geometries.FIGURES | losses.FIGURES | metrics.FIGURES
OUT = Path(__file__).parents[2] / "docs" / "figures"


def main(names: list[str]) -> None:
    unknown = sorted(set(names) - set(FIGURES))
    if unknown:
        sys.exit(f"no figure {', '.join(unknown)}; there are {', '.join(FIGURES)}")
    OUT.mkdir(exist_ok=True)
    for name in names or FIGURES:
        (OUT / f"{name}.svg").write_text(FIGURES[name](), encoding="utf-8")
        print(OUT / f"{name}.svg")


if __name__ == "__main__":
    main(sys.argv[1:])
