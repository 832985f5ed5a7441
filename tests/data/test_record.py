"""Records, decoding of pictures, and the decoded corpus."""

import io
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from geomclip.data import record as module
from geomclip.data.record import BadImage, BadRecord, Corpus, Record, decode_image
from geomclip.errors import RequestError


def encode(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def noise(width: int, height: int, mode: str = "RGBA") -> Image.Image:
    channels = len(Image.new(mode, (1, 1)).getbands())
    values = np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return Image.fromarray(values.squeeze(), mode)


def png_that_claims(width: int, height: int) -> bytes:
    """A complete, tiny PNG whose header states a size that its data does not have."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(100)))
        + chunk(b"IEND", b"")
    )


def test_a_picture_of_the_right_size_keeps_every_value():
    image = noise(8, 8)
    assert decode_image(encode(image), 8).equal(
        torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())
    )


def test_a_palette_picture_keeps_its_colours_and_transparency():
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    image.paste((200, 10, 30, 255), (0, 0, 2, 4))
    pixels = decode_image(encode(image.quantize(4, method=Image.Quantize.FASTOCTREE)), 4)
    assert pixels[3, :, :2].eq(255).all() and pixels[3, :, 2:].eq(0).all()
    assert pixels[:3, :, :2].float().mean((1, 2)).tolist() == pytest.approx([200, 10, 30], abs=4)


@pytest.mark.parametrize(
    ("form", "mode"),
    [("PNG", "L"), ("PNG", "1"), ("PNG", "LA"), ("JPEG", "RGB"), ("JPEG", "CMYK"), ("GIF", "P")],
)
def test_every_mode_becomes_rgba(form, mode):
    pixels = decode_image(encode(Image.new("RGB", (6, 6), "white").convert(mode), form), 6)
    assert pixels.shape == (4, 6, 6) and pixels.ge(254).all()


def test_sixteen_bit_grey_is_scaled_not_clipped():
    grey = Image.fromarray(np.full((4, 4), 0x8000, dtype=np.uint16))
    assert decode_image(encode(grey), 4)[:3].eq(0x80).all()


@pytest.mark.parametrize(("width", "height"), [(8, 4), (4, 8), (16, 8), (3, 200)])
def test_what_is_not_square_gets_a_transparent_border_in_the_middle(width, height):
    size = 8
    pixels = decode_image(encode(Image.new("RGB", (width, height), (9, 99, 199))), size)
    scale = size / max(width, height)
    inside = torch.zeros(size, size, dtype=torch.bool)
    w, h = max(1, round(width * scale)), max(1, round(height * scale))
    top, left = (size - h) // 2, (size - w) // 2
    inside[top : top + h, left : left + w] = True
    assert pixels[3].eq(255).equal(inside)
    assert pixels[:, ~inside].eq(0).all()
    assert pixels[:, inside].T.eq(torch.tensor([9, 99, 199, 255])).all()


def test_transparent_pixels_lend_no_colour_when_scaled():
    image = Image.new("RGBA", (16, 16), (0, 255, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 8, 16))
    pixels = decode_image(encode(image), 4)
    assert pixels[1][pixels[3] > 0].eq(0).all()


def test_orientation_of_a_photograph_is_applied():
    image = Image.new("RGB", (8, 8), "black")
    image.paste((255, 255, 255), (0, 0, 8, 4))
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its left side: turn a quarter clockwise
    pixels = decode_image(encode(image, "PNG", exif=exif), 8)
    assert pixels[0, :, 4:].eq(255).all() and pixels[0, :, :4].eq(0).all()


def test_a_path_is_read(tmp_path):
    image = noise(8, 8)
    path = tmp_path / "a.png"
    path.write_bytes(encode(image))
    assert decode_image(path, 8).equal(decode_image(path.read_bytes(), 8))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"GIF or not", "not a picture"),
        (b"<svg/>", "not a picture"),
        (Path("/nowhere/a.png"), "can't be read"),
        (png_that_claims(20_000, 20_000), "too large"),
        (png_that_claims(12_000, 12_000), "too large"),
        (png_that_claims(64, 64), "can't be decoded"),
    ],
)
def test_bad_pictures_say_why(data, reason):
    with pytest.raises(BadImage, match=reason):
        decode_image(data, 8)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF"])
def test_truncated_files_are_bad_wherever_they_end(form):
    data = encode(noise(64, 64, "RGB"), form)
    for length in (len(data) // 2, len(data) // 4, 40):
        with pytest.raises(BadImage):
            decode_image(data[:length], 8)


def test_the_size_limit_is_checked_before_pixels_are_decoded(monkeypatch):
    data = encode(noise(20, 10))
    monkeypatch.setattr(module, "MAX_PIXELS", 200)
    assert decode_image(data, 8).shape == (4, 8, 8)
    monkeypatch.setattr(module, "MAX_PIXELS", 199)
    with pytest.raises(BadImage, match="20 x 10"):
        decode_image(data, 8)


def test_decode_needs_a_positive_size():
    with pytest.raises(ValueError, match="at least 1"):
        decode_image(encode(noise(2, 2)), 0)


# ---- Corpus


@pytest.fixture
def records() -> list[Record]:
    return [
        Record(f"id{i}", encode(noise(4, 4)), (f"name {i}", "word"), ("top", f"name {i}"), "here")
        for i in range(3)
    ]


def test_corpus_keeps_what_the_records_say(records):
    seen: list[int] = []
    corpus, bad = Corpus.from_records(iter(records), 4, progress=seen.append)
    assert bad == [] and seen == [1, 2, 3]
    assert len(corpus) == 3 and corpus.size == 4 and corpus.images.shape == (3, 4, 4, 4)
    assert corpus.ids == ["id0", "id1", "id2"]
    assert corpus.names == ["name 0", "name 1", "name 2"]
    assert corpus.keywords == [("word",)] * 3
    assert corpus.paths[2] == ("top", "name 2") and corpus.sources == ["here"] * 3


def test_subset_selects_rows_of_every_field_in_order(records):
    corpus, _ = Corpus.from_records(records, 4)
    for rows in ([2, 0], torch.tensor([2, 0])):
        part = corpus.subset(rows)
        assert part.ids == ["id2", "id0"] and part.texts == [corpus.texts[2], corpus.texts[0]]
        assert part.images.equal(corpus.images[[2, 0]])
    assert len(corpus.subset([])) == 0
    with pytest.raises(IndexError):
        corpus.subset([3])


def test_bad_records_stop_or_are_listed(records):
    records[1] = replace(records[1], image=b"no")
    with pytest.raises(RequestError, match=r"here: id1: not a picture(.|\n)*--skip-bad"):
        Corpus.from_records(records, 4)
    unread = BadRecord("file.csv row 9", "no caption")
    corpus, bad = Corpus.from_records([*records, unread], 4, on_bad="skip")
    assert corpus.ids == ["id0", "id2"]
    assert bad == [BadRecord("here: id1", "not a picture in a known format"), unread]
    assert unread.to_dict() == {"where": "file.csv row 9", "reason": "no caption"}
    with pytest.raises(RequestError, match=r"file\.csv row 9: no caption"):
        Corpus.from_records([unread], 4)


def test_an_empty_source_is_an_empty_corpus():
    corpus, bad = Corpus.from_records([], 4)
    assert len(corpus) == 0 and bad == [] and corpus.images.shape == (0, 4, 4, 4)


def test_fields_of_different_length_are_refused(records):
    corpus, _ = Corpus.from_records(records, 4)
    with pytest.raises(ValueError, match="3 images and 2 ids"):
        replace(corpus, ids=corpus.ids[:2])
