"""Validation F1 of single options against those of cones.toml; never looks at test.

    python experiments/wordnet/cones_sweep.py --data artifact.n.01 --dim 5 --model umbral \\
        --try lr=0.05 --try lr=0.2,epochs=20

Every trial is a line of cones_sweep.jsonl beside it: what cones.toml was chosen by. Options are
those of cones.py.
"""

import json
import sys
from collections.abc import Sequence
from typing import Any

import torch
from cones import HERE, TUNED, WHOLE, Cell, parser, settings, split_of
from cones_train import run

from geomclip.errors import GeomclipError, RequestError

RECORD = HERE / "cones_sweep.jsonl"


def options_of(text: str) -> dict[str, Any]:
    """`lr=0.1,epochs=20` as values. Raises RequestError."""
    found: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        try:
            if name not in TUNED:
                raise ValueError
            found[name] = int(value) if name in WHOLE else float(value)
        except ValueError:
            raise RequestError(
                f"--try {text}: {part} is no option with its value",
                f"Options: {', '.join(TUNED)}; as in lr=0.1,epochs=20.",
            ) from None
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    p = parser()
    p.description = __doc__
    p.add_argument("--try", dest="trials", action="append", default=[], help="lr=0.1,epochs=20")
    p.add_argument("--large", action="store_true", help="start from the options of the nouns")
    o = p.parse_args(arguments)
    torch.set_num_threads(o.threads)
    seeds = tuple(o.seeds or [0])
    cell = Cell(o.data, o.percent, o.dim, o.model, o.init, seeds, seeds)
    try:
        for trial in o.trials or [""]:
            for seed in seeds:
                split = split_of(o.data, o.percent, o.splits, seed)
                nodes = sys.maxsize if o.large else split.nodes
                s = settings(cell, nodes, seed, options_of(trial))
                found = run(split, s, test=False)
                line = {"data": o.data, "percent": o.percent, **found}
                with RECORD.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
                print(
                    f"{100 * found['valid_f1']:6.2f}  {trial or 'as cones.toml'}  seed {seed}  "
                    f"{found['train_cpu_seconds']:.1f} CPU seconds",
                    flush=True,
                )
    except GeomclipError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
