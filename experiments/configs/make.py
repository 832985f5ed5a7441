"""Write the recipes of the paper: `python experiments/configs/make.py [--check]`.

A recipe is a TOML file of a few lines over `datacomp-SCALE.toml`, one for every scale, geometry,
entailment where the geometry has cones, and final LayerNorm. The files below them are written by
hand. With --check nothing is written: the exit code is 1 where a file is not as it would be.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

from geomclip.names import ALIASES, CANONICAL, has_cones

FOLDER = Path(__file__).parent
SCALES = ("small", "medium")

# The paper's eight, by the names that people call them.
GEOMETRIES = tuple(
    {row: alias for alias, row in ALIASES.items()}.get(name, name)
    for name in CANONICAL
    if name != "poincare"
)

SOURCE = "Chou & Alam (arXiv 2409.13079)"


def recipes() -> Iterator[tuple[str, str]]:
    """Name and text of every file."""
    for scale, geometry, entailed, layernorm in product(
        SCALES, GEOMETRIES, (False, True), (True, False)
    ):
        if not entailed or has_cones(geometry):
            name = f"datacomp-{scale}-{geometry}"
            name += ("-entailment" if entailed else "") + ("" if layernorm else "-no-final-ln")
            yield f"{name}.toml", recipe(scale, geometry, entailed, layernorm)


def recipe(scale: str, geometry: str, entailed: bool, layernorm: bool) -> str:
    """The text of one file."""
    about = [f"DataComp {scale}, {geometry}"]
    about += ["entailment"] if entailed else []
    about += [] if layernorm else ["no final LayerNorm"]
    lines = [
        f"# {', '.join(about)}: {SOURCE}. Written by make.py.",
        f'base = "datacomp-{scale}.toml"',
        f'geometry = "{geometry}"',
    ]
    squared = ALIASES.get(geometry, geometry).endswith("-squared")
    if entailed:
        lines.append("entailment = 0.2")
    if entailed and squared:
        lines.append("init_logit_scale = 0.0  # published as -1, which the bound of 0 undoes")
    if not layernorm:
        lines += ["", "[model]", "final_layernorm = false"]
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Write or check all files, and remove those of the pattern that are none."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    check = parser.parse_args(argv).check
    wanted = dict(recipes())
    written_by_hand = {f"datacomp-{scale}.toml" for scale in SCALES}
    found = {path.name for path in FOLDER.glob("datacomp-*.toml")} - written_by_hand
    stale = sorted(found - wanted.keys())
    for name, text in wanted.items():
        path = FOLDER / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if not check:
                path.write_text(text, encoding="utf-8")
    for name in found - wanted.keys():
        if not check:
            (FOLDER / name).unlink()
    if check and stale:
        print(f"not as make.py writes them: {', '.join(sorted(stale))}", file=sys.stderr)
    return int(check and bool(stale))


if __name__ == "__main__":
    raise SystemExit(main())
