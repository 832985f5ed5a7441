"""The layouts of published checkpoints that are known; a new one is a file and a row.

The first whose names a checkpoint has reads it.
"""

from collections.abc import Mapping

from torch import Tensor

from geomclip.errors import RequestError
from geomclip.loaders import hf_clip, hf_siglip, hysac, meru, openclip, phyclip
from geomclip.loaders.layout import Layout

LAYOUTS: tuple[Layout, ...] = (
    hf_clip.LAYOUT,
    hf_siglip.LAYOUT,
    openclip.LAYOUT,
    meru.LAYOUT,
    phyclip.LAYOUT,
    hysac.LAYOUT,
)


def find_layout(names: Mapping[str, Tensor], where: str) -> Layout:
    """The layout of these tensors.

    Raises:
        RequestError: none; the error lists what each would need first that is not there.
    """
    for layout in LAYOUTS:
        if layout.detect(names):
            return layout
    tried = "; ".join(
        f"{layout.name} needs {missing[0]}*"
        + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
        if (missing := layout.missing(names))
        else f"{layout.name} has no {'*, '.join(layout.lacks)}*"
        for layout in LAYOUTS
    )
    first = ", ".join(sorted(names)[:3])
    raise RequestError(
        f"{where}: {len(names)} tensors of no known layout (they begin with {first}). "
        f"Tried: {tried}",
        "docs/loaders.md lists what is read; other models go through transformers or open_clip, "
        "whose own export to these layouts is read.",
    )
