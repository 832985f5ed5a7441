"""How long the first use waits for the C++ kernels: builds into an empty cache, three times.

python experiments/bench/build.py        # writes experiments/bench/build.json
"""

import json
import os
import tempfile
from pathlib import Path

from manifolds.kernels.build import build_cpp

OUT = Path(__file__).with_name("build.json")


def main() -> None:
    """Wall and CPU seconds of each build."""
    builds = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            before = os.times()
            built = build_cpp(Path(folder), prebuilt=False)
            after = os.times()
        cpu = after.children_user + after.children_system
        cpu -= before.children_user + before.children_system
        builds.append({"wall": round(built.seconds, 2), "cpu": round(cpu, 2)})
        print(builds[-1])
    values = {"compiler": built.compiler, "cores": os.cpu_count(), "builds": builds}
    OUT.write_text(json.dumps(values, indent=1) + "\n")


if __name__ == "__main__":
    main()
