"""What `import manifolds` costs over `import torch, geoopt`, in CPU seconds.

    python experiments/bench/imports.py --rounds 9

Fresh processes take turns; each reports the CPU seconds (user and system, its own) that it has used
when its imports are done. Printed: the medians, and the median of the differences within a round.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIMIT = 0.3
IMPORTS = {
    "torch, geoopt": "import torch, geoopt",
    "torch, geoopt, manifolds": "import torch, geoopt, manifolds",
}


def cpu_seconds(code: str) -> float:
    """Of a new Python that runs the code on one thread."""
    report = "; import time; print(time.process_time())"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-c", code + report]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="turns of each")
    rounds = parser.parse_args().rounds
    for code in IMPORTS.values():  # compiles and caches what is new
        cpu_seconds(code)
    taken = [{name: cpu_seconds(code) for name, code in IMPORTS.items()} for _ in range(rounds)]
    base, ours = IMPORTS
    extra = statistics.median(t[ours] - t[base] for t in taken)
    medians = {name: round(statistics.median(t[name] for t in taken), 3) for name in IMPORTS}
    print(json.dumps({"rounds": rounds, "limit": LIMIT, "extra": round(extra, 3), **medians}))


if __name__ == "__main__":
    main()
