"""Small pictures on one sheet: a WebP image that a page carries, or that lies beside it."""

import base64
import hashlib
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from geomclip.data.record import BadImage, BadRecord, Corpus, Record, decode_image

# A page carries so many pictures itself; more lie in a file beside it.
INLINE = 5000
# A side of a WebP image, pixels.
LONGEST = 16_383


def thumbnails(
    data: Corpus | Iterable[Record | BadRecord], ids: Iterable[str], size: int
) -> tuple[dict[str, UInt8[Tensor, "3 s s"]], list[str]]:
    """Small pictures on white by id, and of those that can't be read what was wrong.

    Of several pictures with one id the first is taken.
    """
    wanted = set(ids)
    found: dict[str, Tensor] = {}
    bad: list[str] = []
    if isinstance(data, Corpus):
        rows = {name: i for i, name in reversed(list(enumerate(data.ids))) if name in wanted}
        for name, i in rows.items():
            image = data.images[i][None].float()
            small = torch.nn.functional.interpolate(image, (size, size), mode="area")
            found[name] = on_white(small[0])
        return found, bad
    for record in data:
        if isinstance(record, BadRecord):
            bad.append(f"{record.where}: {record.reason}")
        elif record.id in wanted and record.id not in found:
            try:
                found[record.id] = on_white(decode_image(record.image, size).float())
            except BadImage as error:
                bad.append(f"{record.where}: {error}")
    return found, bad


def on_white(image: Tensor) -> UInt8[Tensor, "3 s s"]:
    """RGBA in [0, 255] over white."""
    alpha = image[3:] / 255
    return (image[:3] * alpha + 255 * (1 - alpha)).round().to(torch.uint8)


def sheet(pictures: Sequence[UInt8[Tensor, "3 s s"]]) -> tuple[bytes, int]:
    """The pictures row by row in one WebP image, and how many stand in a row.

    Raises:
        ValueError: no pictures, or more than fit one image.
    """
    from PIL import Image

    if not pictures:
        raise ValueError("sheet: there are no pictures")
    size = pictures[0].shape[-1]
    columns = math.ceil(math.sqrt(len(pictures)))
    if columns * size > LONGEST:
        raise ValueError(
            f"sheet: {len(pictures):,} pictures of {size} pixels need {columns * size:,} a side, "
            f"a WebP image has at most {LONGEST:,}"
        )
    rows = math.ceil(len(pictures) / columns)
    canvas = torch.full((rows * size, columns * size, 3), 255, dtype=torch.uint8)
    for k, picture in enumerate(pictures):
        top, left = size * (k // columns), size * (k % columns)
        canvas[top : top + size, left : left + size] = picture.permute(1, 2, 0)
    buffer = io.BytesIO()
    Image.fromarray(canvas.numpy()).save(buffer, "WEBP", quality=70, method=4)
    return buffer.getvalue(), columns


def inline(data: bytes, size: int, columns: int) -> dict[str, Any]:
    """A sheet that the page carries, as `Samples.sheet`."""
    encoded = base64.b64encode(data).decode("ascii")
    return {"source": f"data:image/webp;base64,{encoded}", "size": size, "columns": columns}


def beside(data: bytes, size: int, columns: int, page: Path) -> dict[str, Any]:
    """Write a sheet to PAGE_files/pictures-DIGEST.webp; what the page is to know of it.

    Its name tells its contents, so that an older page keeps its pictures until it is replaced.

    Raises GeomclipError when it can't be written.
    """
    from geomclip.train.files import disk_errors, write_bytes

    folder = page.with_name(f"{page.stem}_files")
    name = f"pictures-{hashlib.sha256(data).hexdigest()[:12]}.webp"
    with disk_errors(f"{folder / name} could not be written", "Choose another --out."):
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / name, data)
    return {"source": f"{folder.name}/{name}", "size": size, "columns": columns}


def drop_others(page: Path, source: str) -> None:
    """Remove the sheets of earlier pages of this name, once the page has its own."""
    for path in page.with_name(f"{page.stem}_files").glob("pictures*.webp"):
        if f"{path.parent.name}/{path.name}" != source:
            path.unlink(missing_ok=True)
