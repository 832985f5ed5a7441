"""From a path to a `Source`: which files of a folder hold weights and settings."""

from pathlib import Path

from geomclip.errors import RequestError
from geomclip.loaders import openclip
from geomclip.loaders.layout import Source, Wishes
from geomclip.loaders.vocabulary import read_json
from geomclip.loaders.weights import PICKLES, SAFETENSORS, read_weights

# In the order in which they are preferred: safetensors before pickles.
_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "open_clip_model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "open_clip_pytorch_model.bin",
)
_OPEN_CLIP = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


def find_path(source: str | Path) -> Path:
    """The path that `source` is.

    Raises:
        RequestError: there is nothing. A hub's names are not looked up: nothing is downloaded.
    """
    path = Path(source)
    if path.exists():
        return path
    text = str(source)
    if (
        text.count("/") == 1
        and path.suffix not in (SAFETENSORS, *PICKLES)
        and not path.parent.exists()
    ):
        raise RequestError(
            f'"{text}" is no path on this machine, and nothing is downloaded from a hub',
            "Copy the folder to this machine and pass its path.",
        )
    raise RequestError(f"{text}: there is no such file or folder", "Check the path.")


def open_source(path: Path, wishes: Wishes) -> Source:
    """Read the weights and settings of a checkpoint file, or of a folder that holds one.

    Raises:
        RequestError: no weights there, or they can't be read.
    """
    folder = path if path.is_dir() else path.parent
    file = _weights_file(path) if path.is_dir() else path
    weights = read_weights(file)
    # A folder may hold a model in both layouts; the settings go with the weights.
    hugging = file.name not in _OPEN_CLIP and any(
        n.startswith("text_model.") for n in weights.tensors
    )
    config = read_json(folder / ("config.json" if hugging else openclip.CONFIG))
    return Source(path, folder, weights, config, wishes)


def _weights_file(folder: Path) -> Path:
    for name in _FILES:
        if (folder / name).is_file():
            return folder / name
    others = sorted(
        p.name for p in folder.iterdir() if p.suffix in (SAFETENSORS, *PICKLES) and p.is_file()
    )
    if len(others) == 1:
        return folder / others[0]
    if others:
        raise RequestError(
            f"{folder}: this folder holds several files with weights: {', '.join(others[:4])}",
            "Name the file.",
        )
    raise RequestError(
        f"{folder}: this folder holds no run (no config.toml) and no weights",
        f"Known are {', '.join(_FILES)}.",
    )
