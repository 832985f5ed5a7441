"""Reading models: `geomclip.load(SOURCE)`. One file a layout of published checkpoints."""

from pathlib import Path
from typing import TYPE_CHECKING

from geomclip.errors import RequestError

if TYPE_CHECKING:
    from geomclip.model import ContrastiveModel

__all__ = ["load"]


def load(
    source: str | Path,
    *,
    geometry: str | None = None,
    tokenizer: str | Path | None = None,
    quick_gelu: bool | None = None,
) -> "ContrastiveModel":
    """The model that `source` holds, in evaluation mode, on the CPU, in float32.

    Only weights are read, never code; nothing is downloaded.

    Args:
        source: a run folder or one checkpoint folder of a run; a Hugging Face folder (CLIP,
            SigLIP); a checkpoint file or folder of open_clip, the EuCLIP fork, MERU, HyCoCLIP,
            ATMG, UNCHA or PHyCLIP.
        geometry: name of the geometry, of a checkpoint that does not say it.
        tokenizer: vocabulary file (or its folder), of a checkpoint that has none beside it.
        quick_gelu: whether the towers have OpenAI's activation, of a checkpoint that does not say.

    Raises:
        RequestError: there is nothing at `source`, nothing that this version reads, or a pickle
            that would run code; or a run is asked to be what it is not.
    """
    from geomclip.loaders.layout import Wishes
    from geomclip.loaders.layouts import find_layout
    from geomclip.loaders.open import find_path, open_source
    from geomclip.train.run import has_run, load_run

    path = find_path(source)
    if has_run(path) or (path.parent.name == "checkpoints" and has_run(path.parent.parent)):
        if (geometry, tokenizer, quick_gelu) != (None, None, None):
            raise RequestError(
                f"{path} is a run, which says its geometry, vocabulary and activation itself",
                "Leave these options out.",
            )
        return load_run(path)
    wishes = Wishes(geometry, None if tokenizer is None else Path(tokenizer), quick_gelu)
    opened = open_source(path, wishes)
    return find_layout(opened.weights.tensors, str(path)).read(opened)
