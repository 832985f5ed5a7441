"""HierarCaps: caption chains from the general to the particular, found from a picture.

The protocol of Alper & Averbuch-Elor (ECCV 2024, arXiv 2407.08521). Each item is a picture with a
chain of texts, "bird => blue bird => ..."; a picture may have several. With a root r, a text's
radius is its distance to r; going through 50 radii from the smallest to the largest of all texts,
the text that scores best with the picture among those within the radius is taken, and what differs
from the one before is a prediction.

- precision: share of the distinct predictions that stand in a chain of the picture
- recall: share of the levels where a chain's text was predicted
- order: longest run of predictions, of those in the chains, with ascending level, equal neighbours
  counted once, over the number of levels (in the published code, unused there)
- d_corr: Kendall's tau of radius with level along each chain, averaged over chains
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from geomclip.errors import RequestError
from geomclip.evaluate.hierarchy import kendall_tau_b
from geomclip.evaluate.retrieval import BLOCK
from geomclip.evaluate.roots import radius
from geomclip.evaluate.tested import Tested, mean_of, permutations
from geomclip.geometry import Geometry

if TYPE_CHECKING:
    from geomclip.model import ContrastiveModel

STEPS = 50


@dataclass(frozen=True)
class Chains:
    """Pictures and the chains of their texts.

    Args:
        images: file name of each picture.
        texts: (n, levels) the chains, the most general text first.
        image: (n,) the picture of each chain.
    """

    images: tuple[str, ...]
    texts: tuple[tuple[str, ...], ...]
    image: np.ndarray

    @property
    def levels(self) -> int:
        """Texts a chain."""
        return len(self.texts[0])


def read_hierarcaps(path: str | Path) -> Chains:
    """A csv file in the layout of `hierarcaps_test.csv`: columns `captions`, the chain joined by
    "=>", and `image_url`, whose last part names the picture's file.

    Raises:
        RequestError: a missing column, no rows, or a row (named) without picture, with an empty
            text, or with a chain of another length than the first one's.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise RequestError(f"{path}: {error.strerror or error}", "Check the path.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise RequestError(f"{path} can't be read as a table: {error}", "Fetch it again.") from None
    if not rows:
        raise RequestError(f"{path} has no rows", "Fetch it again.")
    for column in ("captions", "image_url"):
        if column not in rows[0]:
            raise RequestError(
                f"{path} has no column {column} (it has: {', '.join(map(str, rows[0]))})",
                "The layout is that of hierarcaps_test.csv: id, captions, image_url.",
            )
    texts: list[tuple[str, ...]] = []
    image: list[int] = []
    place: dict[str, int] = {}
    for number, row in enumerate(rows, 2):
        chain = tuple(text.strip() for text in (row["captions"] or "").split("=>"))
        name = (row["image_url"] or "").rstrip("/").rsplit("/", 1)[-1]
        if not name:
            raise RequestError(f"{path} row {number}: no image_url", "Name the picture.")
        if not all(chain) or len(chain) < 2:
            raise RequestError(
                f"{path} row {number}: {row['captions']!r} is no chain of texts",
                'Join at least two texts by "=>".',
            )
        if texts and len(chain) != len(texts[0]):
            raise RequestError(
                f"{path} row {number}: {len(chain)} texts, row 2 has {len(texts[0])}",
                "All chains have one length.",
            )
        texts.append(chain)
        image.append(place.setdefault(name, len(place)))
    return Chains(tuple(place), tuple(texts), np.array(image, np.int64))


@dataclass(frozen=True)
class HierarCaps:
    """The protocol's numbers; errors over pictures (d_corr: chains).

    The null of the first three gives each picture another one's chains, that of d_corr shuffles the
    levels within each chain.
    """

    precision: Tested
    recall: Tested
    order: Tested
    d_corr: Tested

    def to_dict(self) -> dict[str, Any]:
        """All with their errors."""
        names = ("precision", "recall", "order", "d_corr")
        return {name: getattr(self, name).to_dict() for name in names}


def hierarcaps(
    geometry: Geometry,
    images: Float[Tensor, "m d"],
    texts: Float[Tensor, "n l d"],
    chains: Chains,
    root: Float[Tensor, "d"] | None = None,
    *,
    steps: int = STEPS,
    shuffles: int = 5,
) -> HierarCaps:
    """Run the protocol with the geometry's own score and root distance (under clip, the chord).

    As published: CLIP, `root` the point of the text "".

    Args:
        images: points of `chains.images`.
        texts: points of `chains.texts`.
        root: the geometry's own root where not given.

    Raises:
        ValueError: points that do not fit the chains.
        GeomclipError: the root of clip or elliptic has not been set.
    """
    n, levels = len(chains.texts), chains.levels
    if len(images) != len(chains.images) or texts.shape[:2] != (n, levels):
        raise ValueError(
            f"hierarcaps: {len(chains.images)} pictures and {n} chains of {levels}, got points "
            f"{tuple(images.shape)} and {tuple(texts.shape)}"
        )
    with torch.no_grad():
        radii = radius(geometry, texts, root).double()
        found = predictions(geometry, images, texts.flatten(0, 1), radii.flatten(), steps)
    number = {text: i for i, text in enumerate(dict.fromkeys(t for c in chains.texts for t in c))}
    names = np.array([[number[text] for text in chain] for chain in chains.texts])
    mine: list[list[int]] = [[] for _ in chains.images]
    for i, picture in enumerate(chains.image.tolist()):
        mine[picture].append(i)
    flat = names.reshape(-1)
    said = [_distinct(flat[row]) for row in found]

    def score(order: np.ndarray) -> np.ndarray:
        return np.array([_item(said[i], names[mine[j]]) for i, j in enumerate(order)])

    values = score(np.arange(len(said)))
    shuffled_pictures = permutations(len(said), shuffles)
    null = np.array([score(p).mean(0) for p in shuffled_pictures]).reshape(-1, 3)
    level = torch.arange(levels, dtype=torch.float64).expand(n, levels)
    generator = torch.Generator().manual_seed(0)
    radii = radii.cpu()
    shuffled = []
    for _ in range(shuffles):
        mixed = radii.gather(1, torch.rand(n, levels, generator=generator).argsort(1))
        shuffled.append(kendall_tau_b(level, mixed).mean().item())
    precision, recall, order = (
        mean_of(v, other) for v, other in zip(values.T, null.T.tolist(), strict=True)
    )
    d_corr = mean_of(kendall_tau_b(level, radii), shuffled)
    return HierarCaps(precision, recall, order, d_corr)


def predictions(
    geometry: Geometry,
    images: Float[Tensor, "m d"],
    texts: Float[Tensor, "t d"],
    radii: Float[Tensor, "t"],
    steps: int = STEPS,
) -> Int[np.ndarray, "m s"]:
    """The best text within each of so many radii from the smallest to the largest, a picture a row.

    The best of a growing set is a running maximum over the texts in the order of their radii.
    """
    order = radii.argsort(stable=True)
    levels = np.linspace(radii.min().item(), radii.max().item(), steps)
    within = np.searchsorted(radii[order].cpu().numpy(), levels, side="right")
    last = torch.from_numpy(within - 1)
    out = []
    block = max(1, BLOCK // len(texts))
    for i in range(0, len(images), block):
        scores = geometry.score(images[i : i + block], texts[order])
        best = scores.cummax(1).indices[:, last.to(scores.device)]
        out.append(order[best].cpu().numpy())
    return np.concatenate(out)


def _distinct(row: np.ndarray) -> np.ndarray:
    """Without what repeats the entry before."""
    return row[np.append(True, row[1:] != row[:-1])]


def _item(said: np.ndarray, chains: np.ndarray) -> tuple[float, float, float]:
    """(precision, recall, order) of one picture: its predictions against its chains (c, levels)."""
    right = np.isin(said, chains)
    distinct, hit = np.unique(said), np.isin(np.unique(said), chains)
    levels = chains.shape[1]
    recall = np.isin(chains, said).any(0).mean()
    # The first chain that has a text tells its level.
    level = [int(np.argwhere(chains == text)[0][1]) for text in said[right]]
    return hit.sum() / len(distinct), recall, longest_run(level) / levels


def longest_run(level: list[int]) -> int:
    """Length of the longest run of ascending levels; equal neighbours count once."""
    longest, run, last = 0, 0, -1
    for value in level:
        if value == last and run:
            continue
        run = run + 1 if run and value > last else 1
        longest, last = max(longest, run), value
    return longest


def hierarcaps_of(
    model: "ContrastiveModel", path: str | Path, folder: str | Path, *, batch_size: int = 256
) -> dict[str, HierarCaps]:
    """The protocol for a model on files of HierarCaps, by root: `own` where it has one, `mean` of
    its texts and pictures, and `empty`, the text "" (as published for CLIP).

    Args:
        path: as `read_hierarcaps`.
        folder: holds the pictures, by the names at the end of the file's addresses.

    Raises:
        RequestError: as `read_hierarcaps`; or pictures that are missing (counted) or damaged.
    """
    from geomclip.evaluate.features import inference, text_points
    from geomclip.evaluate.pictures import picture_points
    from geomclip.evaluate.roots import roots_of

    chains = read_hierarcaps(path)
    images = picture_points(model, chains.images, [folder], batch_size=batch_size).points
    texts = text_points(model, [t for chain in chains.texts for t in chain], batch_size=batch_size)
    lines = torch.stack([texts.of(chain) for chain in chains.texts])
    empty = text_points(model, [""], batch_size=batch_size).points[0]
    with inference(model):
        roots = roots_of(model.geometry, torch.cat([images, lines.flatten(0, 1)]), empty)
        return {
            name: hierarcaps(model.geometry, images, lines, chains, root)
            for name, root in roots.items()
        }
