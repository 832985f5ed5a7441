"""Data and settings small enough that a run through the command line takes a second."""

import csv
import io
from pathlib import Path

import pytest
from PIL import Image

WORDS = ("red", "green", "blue", "orange", "purple", "brown", "pink", "gray", "white", "black")

SETTINGS = """
geometry = "euclip"
steps = 12
batch_size = 8
log_every = 2
checkpoint_every = 4

[model]
embed_dim = 8

[model.image]
kind = "convnet"
image_size = 16
width = 4
layers = 2

[model.text]
context_length = 8
vocab_size = 600
width = 8
layers = 1
heads = 2
"""


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A csv of 60 plain pictures in ten colours and six sizes, with a label path of two levels."""
    folder = tmp_path_factory.mktemp("data")
    rows = [["filepath", "title", "group", "colour"]]
    for i in range(60):
        colour, size = WORDS[i % 10], 10 + 2 * (i // 10)
        out = io.BytesIO()
        Image.new("RGB", (size, 16), colour).save(out, "PNG")
        (folder / f"{i}.png").write_bytes(out.getvalue())
        group = "warm" if colour in ("red", "orange", "brown", "pink") else "cold"
        rows.append([f"{i}.png", f"a {colour} field, {size} wide", group, colour])
    path = folder / "fields.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TOML file of the smallest model."""
    path = tmp_path_factory.mktemp("settings") / "tiny.toml"
    path.write_text(SETTINGS)
    return path
