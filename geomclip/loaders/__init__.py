"""Reading models: `geomclip.load(SOURCE)`."""

from pathlib import Path
from typing import TYPE_CHECKING

from geomclip.errors import RequestError

if TYPE_CHECKING:
    from geomclip.model import ContrastiveModel

__all__ = ["load"]


def load(source: str | Path) -> "ContrastiveModel":
    """The model that `source` holds: a run folder, or one checkpoint folder of a run.

    In evaluation mode, on the CPU.

    Raises:
        RequestError: there is nothing at `source`, or nothing that this version reads.
    """
    from geomclip.train.run import has_run, load_run

    path = Path(source)
    if not path.exists():
        raise RequestError(f"{path}: there is no such file or folder", "Check the path.")
    if has_run(path) or (path.parent.name == "checkpoints" and has_run(path.parent.parent)):
        return load_run(path)
    kind = "folder holds no run (no config.toml)" if path.is_dir() else "file is not a run folder"
    raise RequestError(
        f"{path}: this {kind}", "Pass the --out folder of a `geomclip train` or a checkpoint in it."
    )
