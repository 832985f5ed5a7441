"""HySAC's checkpoints: Hugging Face's CLIP under adapters of low rank (PEFT). Known, not read."""

from typing import TYPE_CHECKING

from geomclip.errors import RequestError
from geomclip.loaders.layout import Layout, Source

if TYPE_CHECKING:
    from geomclip.model import ContrastiveModel


def read(source: Source) -> "ContrastiveModel":
    """Raises RequestError that says what is missing."""
    raise RequestError(
        f"{source.where}: HySAC's layout: its towers are adapted by LoRA, and the adapters' scale "
        "(lora_alpha / r), without which they can't be merged, is in no tensor",
        "Merge them with PEFT (merge_and_unload) and save the CLIPModel; that folder is read.",
    )


LAYOUT = Layout(
    "HySAC (recognised, not read)",
    ("visual.base_model.model.", "textual.base_model.model.", "curv"),
    read,
)
