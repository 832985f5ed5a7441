"""What data a run reads, as one dataclass: flags, TOML and help in one. Loads no torch."""

from dataclasses import dataclass
from typing import Literal

from geomclip.errors import RequestError


@dataclass(frozen=True)
class DataConfig:
    """Where pictures and captions come from. The default is the embedded emoji set."""

    source: str = "emoji"
    """`emoji`, or a path: csv/tsv, image folder, webdataset tars ({0000..0041}.tar), parquet, COCO
    json, a folder of CLIP_benchmark; several joined by `::`. `--data PATH` is its short form, and
    may be repeated."""
    weights: tuple[float, ...] = ()
    """Share of the batches' pictures that each of several sources gives; by their sizes when empty.
    `--data-weights 3,1` is its short form."""
    stream: Literal["auto", "always", "never"] = "auto"
    """Read while training instead of holding all pictures in memory. `auto` does for shards that
    are remote or larger than 1 GB, and where `weights` or `resample` ask for it."""
    resample: bool = False
    """Streamed: draw shards with replacement instead of going through each once an epoch."""
    shuffle: int = 8192
    """Streamed: pictures that are mixed with each other, beside the shuffled order of shards."""
    lanes: int = 0
    """Streamed: strands that the data are read in side by side; processes and their workers share
    them. 0 takes the largest power of 2 up to 64 that divides the batch."""
    workers: int = -1
    """Streamed: processes that read, decode and augment; 0 does it in the training process, -1
    takes the cores that are left, up to 8. No number depends on it."""
    sizes: str = ""
    """Streamed: json file with the number of samples of each shard by name; `sizes.json` beside
    remote shards when empty. Local shards are counted."""
    sample: int = 4096
    """Streamed: pictures held in memory for the vocabulary."""
    root: Literal["all", "last", "sample"] = "all"
    """Streamed: what the root of clip and elliptic is the mean of: `all` records at each
    checkpoint, for which all shards are read and embedded once more; all of them at the `last` step
    only, before that the sample in memory; or that `sample`."""
    max_bad_share: float = 0.1
    """Streamed: stop where a larger share of the records can't be used; fewer are replaced by
    others, counted and named."""
    val_data: str = ""
    """A second path to validate on; without it a hash of the id holds out `val_fraction`."""
    image_column: str = ""
    """Column of a csv/tsv/parquet with the picture (path, or bytes); found by its usual names when
    empty."""
    caption_column: str = ""
    """Column of a csv/tsv/parquet with the caption; found by its usual names when empty."""
    id_column: str = ""
    """Column of a csv/tsv/parquet with the sample's id; the picture's path when empty."""
    label_columns: tuple[str, ...] = ()
    """Columns of a csv/tsv/parquet that form the label path, most general first."""
    boxes: bool = False
    """Tars: read boxes with their words from the json of each sample (`ref_exps` or `noun_chunks`
    of GRIT); a sample without is bad."""
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

    def __post_init__(self) -> None:
        many = len(self.sources)
        if self.weights and len(self.weights) != many:
            raise RequestError(
                f"data.weights has {len(self.weights)} entries for {many} sources",
                "Give --data-weights one number a source: --data A --data B --data-weights 3,1.",
            )
        if any(not 0 < w < float("inf") for w in self.weights):
            given = ", ".join(f"{w:g}" for w in self.weights)
            raise RequestError(f"data.weights must be positive, got {given}", "Leave a source out.")
        if "" in self.sources and many > 1:
            raise RequestError(f'data.source "{self.source}" has an empty part', "Write A::B.")
        limits = {"shuffle": 1, "lanes": 0, "workers": -1, "sample": 1}
        for name, least in limits.items():
            if getattr(self, name) < least:
                raise RequestError(
                    f"data.{name} must be at least {least}, got {getattr(self, name)}",
                    f"Give --data.{name} {least} or more.",
                )
        if not 0 <= self.max_bad_share <= 1:
            raise RequestError(
                f"data.max_bad_share lies between 0 and 1, got {self.max_bad_share}",
                "0.1 lets a run go on while one record in ten can't be used.",
            )

    @property
    def sources(self) -> tuple[str, ...]:
        """The parts of `source`."""
        return tuple(self.source.split("::"))
