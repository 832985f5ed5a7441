"""What data a run reads, as one dataclass: flags, TOML and help in one. Loads no torch."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class DataConfig:
    """Where pictures and captions come from. The default is the embedded emoji set."""

    source: str = "emoji"
    """`emoji`, or a path: csv/tsv, image folder, webdataset tars ({0000..0041}.tar), COCO json.
    `--data PATH` is its short form."""
    val_data: str = ""
    """A second path to validate on; without it a hash of the id holds out `val_fraction`."""
    image_column: str = ""
    """Column of a csv/tsv with the picture's path; found by its usual names when empty."""
    caption_column: str = ""
    """Column of a csv/tsv with the caption; found by its usual names when empty."""
    id_column: str = ""
    """Column of a csv/tsv with the sample's id; the picture's path when empty."""
    label_columns: tuple[str, ...] = ()
    """Columns of a csv/tsv that form the label path, most general first."""
    separator: str = ""
    """Field separator of a csv/tsv; found from the header when empty."""
    encoding: str = "utf-8"
    """Encoding of a csv/tsv and of caption files, such as `latin-1` or `utf-16`."""
    image_folder: str = ""
    """Folder that relative picture paths of a csv/tsv or json start from; found when empty."""
    skip_bad: bool = False
    """Leave unreadable rows out (counted and reported) instead of stopping."""
    val_fraction: float = 0.1
    """Share of the ids held out when there is no `val_data` and the data name no splits."""
    val_split: Literal["val", "test"] = "val"
    """The split to validate on where the data name theirs (Karpathy json, a `split` column)."""
    protocol: Literal["final", "tuning"] = "final"
    """Emoji: `final` tests on Twemoji; `tuning` validates on Noto v1 and never reads Twemoji."""
    allow_pipe: bool = False
    """Allow shards named "pipe:COMMAND", which run a shell command."""
