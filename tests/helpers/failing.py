"""A program: several processes of which one fails, and how the others end.

    RANK=0 WORLD_SIZE=2 ... python failing.py WAY

WAY "refuses": rank 1 raises what a person should read; "dies": rank 1 is killed. The others wait
for it in an exchange. Each prints what reached it to stderr, and exits as the command would.
"""

import os
import signal
import sys

from geomclip.errors import GeomclipError, RequestError
from geomclip.train.world import joined


def main(way: str) -> int:
    try:
        with joined("cpu") as world:
            world.wait()
            if world.rank == 1 and way == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            if world.rank == 1:
                raise RequestError("row 7 is no picture", "Repair it.")
            world.total(1.0)
    except GeomclipError as error:
        print(type(error).__name__, error.what, error.how, sep=" | ", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
