"""`disk`: embeddings, one space or several, as pictures of the explorer.

    geomclip.viz.disk(Embeddings.read("meru.safetensors")).save("disk.html")

Pictures of several spaces show the same samples: those that all of them have, matched by modality
and by id, text or label path.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from geomclip.embeddings import LABEL, Embeddings
from geomclip.errors import RequestError
from geomclip.results import Variant
from geomclip.viz import explorer, sheet, style
from geomclip.viz.explorer import Picture, Samples
from geomclip.viz.reduce import Reduction, reduce
from geomclip.viz.ways import Plan, Ways, plan_ways, walk, work_of

# Samples of a page, if not told otherwise.
MOST = 20_000
# Characters of a caption or label that a page carries.
LONGEST = 1000


class Sample(NamedTuple):
    """What a sample is known by in every space."""

    modality: str
    name: str | tuple[str, ...]


@dataclass(frozen=True)
class Disk:
    """A page of the explorer, ready to be written."""

    samples: Samples
    pictures: list[Picture]
    reductions: dict[str, Reduction]
    title: str
    notes: list[str] = field(default_factory=list)
    min_radius: float = 0.1
    ways: dict[str, Ways] = field(default_factory=dict)

    def html(self) -> str:
        """The page."""
        return explorer.render(
            self.samples,
            self.pictures,
            title=self.title,
            standfirst=self.standfirst,
            notes=self.notes,
            min_radius=self.min_radius,
        )

    @property
    def standfirst(self) -> str:
        """What is to be seen, in a sentence."""
        count = style.count(len(self.samples.captions))
        return (
            f"{count} samples at their distance from the root. Drag the space, point at a sample, "
            "click it to see its ancestors and its cone."
        )

    def save(self, path: str | Path) -> None:
        """Write the page, whole or not at all. Raises GeomclipError when it can't be written."""
        explorer.write_page(Path(path), self.html())
        if self.samples.sheet is not None:
            sheet.drop_others(Path(path), self.samples.sheet["source"])

    def to_dict(self) -> dict[str, Any]:
        """What was drawn, without the points."""
        return {
            "samples": len(self.samples.captions),
            "pictures": {name: found.to_dict() for name, found in self.reductions.items()},
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        """Shown by notebooks, in a frame of its own."""
        from geomclip.viz.pages import frame

        return frame(self.html(), 900)


def disk(
    *spaces: Embeddings,
    names: Sequence[str] = (),
    method: str = "tangent-pca",
    radial: bool = True,
    max_points: int = MOST,
    min_radius: float = 0.1,
    thumbs: Mapping[str, UInt8[Tensor, "3 s s"]] | None = None,
    page: Path | None = None,
    title: str = "",
    seed: int = 0,
) -> Disk:
    """Embeddings in two dimensions, to be looked at in a browser.

    Args:
        names: of the spaces; those of their geometries when empty.
        method: of `geomclip.viz.reduce.METHODS`, or "none" for points of two dimensions.
        radial: keep root distances exactly; only directions come from the method.
        max_points: of more, a random sample is shown, and the page says so.
        min_radius: K of the cones at first, and of the violations.
        thumbs: pictures on white, by the id of the sample.
        page: where the page will lie: more than 5,000 pictures go to a folder beside it.
        seed: of the sample and the method.

    Raises:
        RequestError: no embeddings, fewer than three samples that all have, names that do not fit,
            or as `reduce`.
    """
    if not spaces:
        raise RequestError("there are no embeddings to draw", "Give at least one space.")
    rooted = [space.with_root() for space in spaces]
    names = list(names) or [
        style.LABELS.get(s.geometry.name) or style.label(Variant(s.geometry.name)) for s in rooted
    ]
    if len(names) != len(rooted):
        raise RequestError(f"{len(names)} names for {len(rooted)} spaces", "Give one each.")
    rows = [keys(space) for space in rooted]
    twice = repeated(rooted[0])
    shared = [k for k in rows[0] if k not in twice and all(k in other for other in rows[1:])]
    notes = []
    if (most := max(map(len, rows)) - len(twice)) > len(shared):
        notes.append(
            f"{style.count(len(shared))} of up to {style.count(most)} samples are in every space; "
            "the others are left out."
        )
    shown = some(rooted[0], shared, max_points, seed)
    if len(shown) < len(shared):
        notes.append(
            f"A random sample: {style.count(len(shown))} of {style.count(len(shared))} samples."
        )
    parents = tree(rooted[0], shown)
    samples = describe(rooted[0], shown, parents, thumbs or {}, page)
    long = sum(
        len(str(key.name[-1] if key.modality == LABEL else key.name)) > LONGEST for key in shown
    )
    if long:
        notes.append(
            f"{style.count(long)} captions or labels are longer than {style.count(LONGEST)} "
            "characters and are cut."
        )
    points = [
        gather(space, [places[key] for key in shown])
        for space, places in zip(rooted, rows, strict=True)
    ]
    plan = _plan(rooted, shown, points, seed)
    if plan.note:
        notes.append(plan.note)
    pictures, reductions, ways = [], {}, {}
    for name, space, x in zip(names, rooted, points, strict=True):
        found = reduce(space.geometry, x, method, radial=radial, seed=seed)
        reductions[name] = found
        try:
            ways[name] = walk(space.geometry, x, samples.captions, plan)
        except ValueError as error:
            notes.append(f"{name} has no ways to the root: {error}")
        steps = ways[name].steps() if name in ways else {}
        pictures.append(draw(name, space, x, found, parents, min_radius, steps))
    title = title or f"{style.words(names)}: the space to look around in"
    return Disk(samples, pictures, reductions, title, notes, min_radius, ways)


def _plan(
    spaces: Sequence[Embeddings], shown: list[Sample], points: Sequence[Tensor], seed: int
) -> Plan:
    """Ways start at the first modality and meet labels and texts."""
    rows: dict[str, list[int]] = {}
    for i, key in enumerate(shown):
        rows.setdefault(key.modality, []).append(i)
    starts = rows.get(spaces[0].modalities[0], [])
    texts = rows.get("text", []) if spaces[0].modalities[0] != "text" else []
    work = max(work_of(space.geometry, x) for space, x in zip(spaces, points, strict=True))
    return plan_ways(starts, rows.get(LABEL, []), texts, work, seed)


def repeated(space: Embeddings) -> set[Sample]:
    """Leaves of the label tree that are texts as well, and would be drawn twice: a class folder
    whose name is the caption, the name of an emoji."""
    if LABEL not in space.points or not space.texts:
        return set()
    paths = space.label_paths(LABEL) or []
    inner = {path[:-1] for path in paths}
    texts = {text.casefold() for text in space.texts}
    return {Sample(LABEL, p) for p in paths if p not in inner and p[-1].casefold() in texts}


def cut(text: str) -> str:
    """What a page carries of a text."""
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def keys(space: Embeddings) -> dict[Sample, tuple[str, int]]:
    """Where each sample is: its modality and row. Of samples with one name the first."""
    found: dict[Sample, tuple[str, int]] = {}
    for modality in [LABEL, *space.modalities]:
        for row, name in enumerate(_names(space, modality)):
            found.setdefault(Sample(modality, name), (modality, row))
    return found


def _names(space: Embeddings, modality: str) -> Sequence[str | tuple[str, ...]]:
    if modality not in space.points:
        return []
    if modality == LABEL:
        return space.label_paths(LABEL) or []
    ids: Any = space.ids
    if modality in ids:
        return ids[modality]
    if modality == "text" and space.texts:
        return space.texts
    return [f"{modality} {row}" for row in range(len(space[modality]))]


def some(space: Embeddings, shared: list[Sample], most: int, seed: int) -> list[Sample]:
    """At most `most` samples: all labels, then random ones of the first modality with their
    partners, then others."""
    if len(shared) <= most:
        return shared
    generator = torch.Generator().manual_seed(seed)
    where = keys(space)
    by_place = {where[key]: key for key in shared}
    chosen = dict.fromkeys([key for key in shared if key.modality == LABEL][:most])
    partners: dict[int, list[int]] = {}
    names = space.modalities
    if len(names) > 1:
        for i, j in space.pairing(*names[:2]).tolist():
            partners.setdefault(i, []).append(j)
    for k in torch.randperm(len(shared), generator=generator).tolist():
        key = shared[k]
        group = [key]
        if key.modality == names[0]:
            found = [by_place.get((names[1], j)) for j in partners.get(where[key][1], [])]
            group += [other for other in found if other is not None]
        elif key.modality != LABEL and any(partners):
            continue  # comes with its partner
        for other in group:
            if len(chosen) < most:
                chosen[other] = None
    return [key for key in shared if key in chosen]


def tree(space: Embeddings, shown: list[Sample]) -> list[int]:
    """The sample above each: of a picture its first text, of a text its label, of a label the
    label above; where that is not shown, the next that is; -1 for none."""
    number = {key: k for k, key in enumerate(shown)}
    where = keys(space)
    names = space.modalities
    texts = _names(space, names[1]) if len(names) > 1 else []
    first: dict[int, int] = {}
    if len(names) > 1:
        for i, j in space.pairing(*names[:2]).tolist():
            first.setdefault(i, j)

    def label(path: Sequence[str]) -> int:
        for end in range(len(path), 0, -1):
            found = number.get(Sample(LABEL, tuple(path[:end])))
            if found is not None:
                return found
        return -1

    parents = []
    for key in shown:
        modality, row = where[key]
        if modality == LABEL:
            parents.append(label(key.name[:-1]))
            continue
        partner = first.get(row) if modality == names[0] else None
        above = None if partner is None else number.get(Sample(names[1], texts[partner]))
        paths = space.label_paths(modality)
        parents.append(above if above is not None else label(paths[row] if paths else ()))
    return parents


def describe(
    space: Embeddings,
    shown: list[Sample],
    parents: list[int],
    thumbs: Mapping[str, Tensor],
    page: Path | None,
) -> Samples:
    """Captions, labels, levels and pictures of the samples."""
    where = keys(space)
    modalities = list(space.points)
    texts = {m: _names(space, m) for m in space.points}
    depth = max((len(key.name) for key in shown if key.modality == LABEL), default=0)
    given = [*space.levels][:depth]
    levels = given + [f"level {k + 1}" for k in range(len(given), depth)]
    levels += [m for m in reversed(space.modalities)]
    captions, paths, depths, ids = [], [], [], []
    for key in shown:
        modality, row = where[key]
        known = space.label_paths(modality)
        paths.append([cut(label) for label in known[row]] if known else [])
        captions.append(cut(key.name[-1] if modality == LABEL else str(texts[modality][row])))
        level = len(key.name) - 1 if modality == LABEL else levels.index(modality)
        depths.append(level)
        name = " > ".join(key.name) if modality == LABEL else str(key.name)
        ids.append(f"{modality}:{name if len(name) <= LONGEST else f'{cut(name)} {row}'}")
    for k, key in enumerate(shown):
        # A picture's id says little; its text is what the reader knows it by.
        if key.modality == space.modalities[0] and parents[k] >= 0:
            above = shown[parents[k]]
            if above.modality != LABEL:
                captions[k] = captions[parents[k]]
    pictured = [
        k
        for k, key in enumerate(shown)
        if key.modality == space.modalities[0] and key.name in thumbs
    ]
    places, found = [-1] * len(shown), None
    if pictured:
        for place, k in enumerate(pictured):
            places[k] = place
        data, columns = sheet.sheet([thumbs[str(shown[k].name)] for k in pictured])
        size = next(iter(thumbs.values())).shape[-1]
        if len(pictured) > sheet.INLINE and page is not None:
            found = sheet.beside(data, size, columns, page)
        else:
            found = sheet.inline(data, size, columns)
    return Samples(
        captions,
        [modalities.index(key.modality) for key in shown],
        modalities=modalities,
        ids=ids,
        paths=paths if any(paths) else (),
        depths=depths,
        levels=levels,
        parents=parents if max(parents, default=-1) >= 0 else (),
        thumbs=places if found else (),
        sheet=found,
    )


def gather(space: Embeddings, places: list[tuple[str, int]]) -> Float[Tensor, "n d"]:
    """The points of the samples."""
    return torch.stack([space.points[modality][row] for modality, row in places])


@torch.no_grad()
def draw(
    name: str,
    space: Embeddings,
    x: Float[Tensor, "n d"],
    found: Reduction,
    parents: list[int],
    min_radius: float,
    steps: dict[int, list[int]],
) -> Picture:
    """One space as a picture: root distances, cone violations and ways as the full space has
    them."""
    g = space.geometry
    violation = None
    # Cones are drawn where the plane has those of the space: not for a product's flat picture.
    cones = g.has_cones and (found.plane == "hyperbolic" or g.manifold.name == "Euclidean")
    if g.has_cones and max(parents, default=-1) >= 0:
        violation = np.full(len(x), np.nan)
        child = torch.tensor([k for k, parent in enumerate(parents) if parent >= 0])
        above = x[torch.tensor(parents)[child]]
        outside = g.manifold.exterior_angle(above, x[child]) - g.manifold.half_aperture(
            above, min_radius
        )
        violation[child.numpy()] = outside.clamp_min(0).double().numpy()
    return Picture(
        name,
        found.plane,
        found.xy,
        g.root_distance(x).double().numpy(),
        c=found.scale**2 if found.plane != "euclidean" else 0.0,
        unit="(1 − cos) / 2" if g.spec.root_distance == "cosine" else "geodesic length",
        radial=found.radial,
        cones=cones,
        violation=violation,
        traversals=steps,
        note=found.sentence(),
    )
