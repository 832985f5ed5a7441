"""One record of a data set (a picture, texts, a label path), and the whole set decoded."""

import io
import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from geomclip.data.fit import LETTERBOX, Fit
from geomclip.errors import RequestError

# A few kilobytes can claim gigapixels. Cameras stay below this.
MAX_PIXELS = 100_000_000


class BadImage(ValueError):
    """A picture that can't be used; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Box:
    """A part of a picture and its words.

    Args:
        text: what is to be seen in it.
        corners: left, top, right, bottom, as shares of the picture's width and height.
    """

    text: str
    corners: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Record:
    """One sample as a reader yields it, not yet decoded.

    Args:
        id: name of the item; several pictures of one thing share it.
        image: the encoded picture (PNG, JPEG, ...), or its path.
        texts: captions, the most specific first.
        path: label path, the most general first, such as (group, subgroup, name).
        source: where it comes from: "train.csv row 12", or the rendition ("noto").
        boxes: parts of the picture with words of their own.
    """

    id: str
    image: bytes | Path
    texts: tuple[str, ...]
    path: tuple[str, ...] = ()
    source: str = ""
    boxes: tuple[Box, ...] = ()

    @property
    def where(self) -> str:
        """Source and id, to point a reader of a message to the record; the source alone where it
        ends with the id's own part, as "00000.tar: 000000012" and "t.parquet row 12" do."""
        own = self.id.rsplit("/", 1)[-1]
        if own and self.source.endswith(own):
            return self.source
        return f"{self.source}: {self.id}" if self.source else self.id


@dataclass(frozen=True)
class BadRecord:
    """A record that was left out, and why."""

    where: str
    reason: str

    def to_dict(self) -> dict[str, str]:
        return {"where": self.where, "reason": self.reason}


def decode_image(
    data: bytes | Path, size: int, fit: Fit = LETTERBOX, box: Box | None = None
) -> UInt8[Tensor, "4 {size} {size}"]:
    """Decode a picture, or the part of it in `box`, to RGBA in [0, 255], made square by `fit`.

    The EXIF orientation is applied; of an animation the first frame is taken.

    Raises:
        BadImage: it is missing, no picture, damaged, or has more than MAX_PIXELS pixels (checked
            before any of them is decoded); the message is the reason.
    """
    from PIL import Image, ImageOps

    if size < 1:
        raise ValueError(f"decode_image: size must be at least 1 pixel, got {size}")
    try:
        raw = data.read_bytes() if isinstance(data, Path) else data
    except OSError as error:
        raise BadImage(f"can't be read: {error.strerror or error}") from error
    if not raw:
        raise BadImage("the file is empty")
    try:
        with warnings.catch_warnings():
            # Pillow warns of bombs by its own limit, where ours decides, and of odd metadata.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(raw)) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise BadImage(_too_large(f"{width} x {height}"))
                if fit.kind == "letterbox" and box is None:
                    # JPEG only: decodes a fraction of the pixels, at least twice what is needed.
                    # Published models are measured on pictures scaled in one step.
                    image.draft(None, (2 * size, 2 * size))
                image.load()
                upright = ImageOps.exif_transpose(image)
                square = fit(_to_rgba(upright if box is None else _cut(upright, box)), size)
                return torch.from_numpy(np.array(square).transpose(2, 0, 1).copy())
    except BadImage:
        raise
    except Image.UnidentifiedImageError as error:
        raise BadImage("not a picture in a known format") from error
    except Image.DecompressionBombError as error:
        raise BadImage(_too_large(str(error))) from error
    # Pillow's decoders answer hostile or damaged bytes with nearly any exception.
    except Exception as error:
        raise BadImage(f"can't be decoded: {error}") from error


def _too_large(found: str) -> str:
    return f"too large: {found} pixels, the limit is {MAX_PIXELS:,} in all"


def _to_rgba(image):  # type: ignore[no-untyped-def]  # PIL is imported where it is used
    from PIL import Image

    if image.mode.startswith("I"):
        # 16-bit grey; Pillow's own conversion clips it to white.
        grey = (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
        image = Image.fromarray(grey)
    elif image.mode == "F":
        raise BadImage("floating-point pixels have no known range; save it as 8 bits")
    return image if image.mode == "RGBA" else image.convert("RGBA")


def _cut(image, box: Box):  # type: ignore[no-untyped-def]
    """The pixels that a box touches, at least one."""
    width, height = image.size
    left, top, right, bottom = box.corners
    x, y = min(int(left * width), width - 1), min(int(top * height), height - 1)
    return image.crop(
        (x, y, max(x + 1, math.ceil(right * width)), max(y + 1, math.ceil(bottom * height)))
    )


@dataclass(frozen=True, eq=False)
class Corpus:
    """A data set decoded into memory; row i of every field belongs to one record.

    Args:
        images: RGBA in [0, 255]; opaque pictures have alpha 255.
        ids, texts, paths, sources, boxes: as in Record.
        crops: RGBA of the boxes of each record (k, 4, s, s), cut from the picture as it came;
            boxes and crops are empty where the data have none.
    """

    images: UInt8[Tensor, "n 4 s s"]
    ids: list[str]
    texts: list[tuple[str, ...]]
    paths: list[tuple[str, ...]]
    sources: list[str]
    boxes: list[tuple[Box, ...]] = field(default_factory=list)
    crops: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        n = self.images.shape[0]
        for name in ("ids", "texts", "paths", "sources"):
            if len(getattr(self, name)) != n:
                raise ValueError(
                    f"Corpus: one entry a picture, got {n} images and "
                    f"{len(getattr(self, name))} {name}"
                )
        if [len(b) for b in self.boxes] != [len(c) for c in self.crops] or (
            self.boxes and len(self.boxes) != n
        ):
            raise ValueError(f"Corpus: one crop a box, for each of {n} pictures or for none")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def size(self) -> int:
        """Side of the pictures in pixels."""
        return self.images.shape[-1]

    @property
    def names(self) -> list[str]:
        """The most specific text of every record; "" where there is none."""
        return [texts[0] if texts else "" for texts in self.texts]

    @property
    def keywords(self) -> list[tuple[str, ...]]:
        """The texts after the first."""
        return [texts[1:] for texts in self.texts]

    def subset(self, indices: Sequence[int] | Int64[Tensor, "m"]) -> "Corpus":
        """The rows at `indices`, in that order. Raises IndexError for rows that don't exist."""
        rows = indices.tolist() if isinstance(indices, Tensor) else list(indices)
        return Corpus(
            images=self.images[torch.tensor(rows, dtype=torch.int64)],
            ids=[self.ids[i] for i in rows],
            texts=[self.texts[i] for i in rows],
            paths=[self.paths[i] for i in rows],
            sources=[self.sources[i] for i in rows],
            boxes=[self.boxes[i] for i in rows] if self.boxes else [],
            crops=[self.crops[i] for i in rows] if self.boxes else [],
        )

    @staticmethod
    def from_records(
        records: Iterable[Record | BadRecord],
        size: int,
        *,
        fit: Fit = LETTERBOX,
        on_bad: Literal["raise", "skip"] = "raise",
        progress: Callable[[int], None] | None = None,
    ) -> tuple["Corpus", list[BadRecord]]:
        """Decode records to `size` x `size`; returns the set and what was left out of it.

        Args:
            fit: how a picture becomes square.
            on_bad: "raise" stops at the first bad record, "skip" leaves them out and lists them.
            progress: called after every record with the number of records read so far.

        Raises:
            RequestError: a record is bad and `on_bad` is "raise".
        """
        images: list[Tensor] = []
        crops: list[Tensor] = []
        good: list[Record] = []
        bad: list[BadRecord] = []
        for count, record in enumerate(records, 1):
            problem = record if isinstance(record, BadRecord) else None
            if isinstance(record, Record):
                try:
                    image = decode_image(record.image, size, fit)
                    cut = [decode_image(record.image, size, fit, box) for box in record.boxes]
                    images.append(image)
                    crops.append(torch.stack(cut) if cut else image.new_empty(0, 4, size, size))
                    good.append(record)
                except BadImage as error:
                    problem = BadRecord(record.where, str(error))
            if problem is not None:
                if on_bad == "raise":
                    raise RequestError(
                        f"{problem.where}: {problem.reason}",
                        "Repair or remove it; --skip-bad leaves such records out and counts them.",
                    )
                bad.append(problem)
            if progress is not None:
                progress(count)
        corpus = Corpus(
            images=torch.stack(images)
            if images
            else torch.empty(0, 4, size, size, dtype=torch.uint8),
            ids=[r.id for r in good],
            texts=[r.texts for r in good],
            paths=[r.path for r in good],
            sources=[r.source for r in good],
            boxes=[r.boxes for r in good] if any(r.boxes for r in good) else [],
            crops=crops if any(r.boxes for r in good) else [],
        )
        return corpus, bad
