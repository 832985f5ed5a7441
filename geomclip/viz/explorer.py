"""The disk explorer as one offline page: a function of finished pictures, whatever made them.

A picture is a set of points in two dimensions with a geometry; all pictures of a page show the same
samples in the same order, so that what is pointed at in one lights up in the others. The script
(disk/*.js) needs no library and makes no request.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geomclip.errors import RequestError

SPACES = ("hyperbolic", "euclidean", "sphere")

# In the order in which they are read: each needs those before it.
SCRIPTS = (
    "spaces", "cones", "paint", "overlay", "panel", "atlas", "card", "controls", "gestures",
    "explorer", "playground", "start",
)  # fmt: skip

TINTS = {
    "modality": "modality",
    "level": "level",
    "branch": "branch",
    "root": "root distance",
    "violation": "cone violation",
}
LAYERS = {"pictures": "Pictures", "names": "Names", "tree": "Tree", "rings": "Rings"}


@dataclass(frozen=True)
class Picture:
    """The points of one geometry in two dimensions.

    Args:
        name: what readers call the geometry.
        space: "hyperbolic", "euclidean" or "sphere".
        xy: (n, 2) float64, tangent coordinates at the root, at unit curvature: the point is
            exp_0(xy). For c != 1 they are the manifold's times sqrt(c).
        root_distance: (n,), in `unit`, as the full space has it.
        c: curvature magnitude; 0 for the plane.
        radial: whether |xy| is the root distance of the full space (times sqrt(c)); rings are
            drawn only then.
        cones: whether entailment cones are offered.
        violation: (n,) exterior angle minus half aperture at the sample's parent in the full space,
            radians, at least 0; NaN where there is no parent.
        traversals: by sample, the samples met on the way to the root, in order; -1 for the root.
        note: what the reader must know about this picture (method, what it keeps).

    Raises:
        ValueError: unknown space, other shapes, values that are not finite.
    """

    name: str
    space: str
    xy: NDArray[np.float64]
    root_distance: NDArray[np.float64]
    c: float = 1.0
    unit: str = "geodesic length"
    radial: bool = True
    cones: bool = False
    violation: NDArray[np.float64] | None = None
    traversals: dict[int, list[int]] = field(default_factory=dict)
    note: str = ""

    def __post_init__(self) -> None:
        if self.space not in SPACES:
            raise ValueError(f"{self.name}: space {self.space!r} is none of {', '.join(SPACES)}")
        if self.xy.ndim != 2 or self.xy.shape[1] != 2:
            raise ValueError(f"{self.name}: xy must have shape (n, 2), got {self.xy.shape}")
        for what in ("xy", "root_distance"):
            values = getattr(self, what)
            if len(values) != len(self.xy):
                raise ValueError(
                    f"{self.name}: {what} has {len(values)} rows, xy {len(self.xy)}; one per sample"
                )
            if not np.isfinite(values).all():
                row = int(np.argwhere(~np.isfinite(values))[0][0])
                raise ValueError(f"{self.name}: {what} of sample {row} is not finite")

    def to_dict(self) -> dict[str, Any]:
        """What the script reads."""
        values: dict[str, Any] = {
            "name": self.name,
            "space": self.space,
            "c": self.c,
            "unit": self.unit,
            "radial": self.radial,
            "cones": self.cones,
            "note": self.note,
            "xy": floats(self.xy),
            "root_distance": floats(self.root_distance),
        }
        if self.violation is not None:
            values["violation"] = floats(self.violation)
        if self.traversals:
            values["traversals"] = {str(i): list(way) for i, way in self.traversals.items()}
        return values


@dataclass(frozen=True)
class Samples:
    """What all pictures of a page show; every list has one entry per sample.

    Args:
        captions: the text, or the picture's caption.
        modality: place in `modalities`.
        ids: names for links and the export; row numbers when empty.
        paths: label paths, coarse to fine; empty lists where there is none.
        depths: level of the sample in the label tree, 0 the coarsest; names in `levels`.
        parents: the sample above it, -1 for none.
        thumbs: place on the sheet of pictures, -1 for none.
        sheet: {"source", "size", "columns"} of the sheet (`geomclip.viz.sheet`), or None.

    Raises:
        ValueError: lists of different lengths, or a parent that is no sample.
    """

    captions: Sequence[str]
    modality: Sequence[int]
    modalities: Sequence[str] = ("image", "text")
    ids: Sequence[str] = ()
    paths: Sequence[Sequence[str]] = ()
    depths: Sequence[int] = ()
    levels: Sequence[str] = ()
    parents: Sequence[int] = ()
    thumbs: Sequence[int] = ()
    sheet: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        n = len(self.captions)
        for what in ("modality", "ids", "paths", "depths", "parents", "thumbs"):
            values = getattr(self, what)
            if len(values) not in ((n,) if what == "modality" else (0, n)):
                raise ValueError(f"samples: {what} has {len(values)} entries, captions {n}")
        for i, parent in enumerate(self.parents):
            if not -1 <= parent < n or parent == i:
                raise ValueError(f"samples: sample {i} has parent {parent}, which is no other one")

    def to_dict(self) -> dict[str, Any]:
        """What the script reads; labels are named once and paths point to them."""
        labels = {
            label: k for k, label in enumerate(dict.fromkeys(chain.from_iterable(self.paths)))
        }
        values: dict[str, Any] = {
            "n": len(self.captions),
            "captions": list(self.captions),
            "modality": [int(code) for code in self.modality],
            "modalities": list(self.modalities),
            "levels": list(self.levels),
            "labels": list(labels),
        }
        if self.paths:
            values["paths"] = [[labels[label] for label in path] for path in self.paths]
        for what in ("ids", "depths", "parents", "thumbs"):
            if len(getattr(self, what)):
                values[what] = list(getattr(self, what))
        if self.sheet is not None:
            values["sprite"] = self.sheet
        return values


def atlas(samples: Samples, pictures: Sequence[Picture], min_radius: float) -> dict[str, Any]:
    """The page's data: samples and pictures.

    Raises:
        RequestError: fewer than three samples, no picture, or pictures of other samples.
    """
    n = len(samples.captions)
    if n < 3:
        raise RequestError(f"there are {n} samples, a picture needs three", "Give more data.")
    if not pictures:
        raise RequestError("there is no picture to show", "Name at least one source.")
    for picture in pictures:
        if len(picture.xy) != n:
            raise RequestError(
                f"{picture.name} has {len(picture.xy)} points, the samples are {n}",
                "Pictures side by side must show the same samples.",
            )
    panels = [picture.to_dict() for picture in pictures]
    return samples.to_dict() | {"panels": panels, "min_radius": min_radius}


def context(data: Mapping[str, Any], notes: Sequence[str] = ()) -> dict[str, Any]:
    """What disk/explorer.html.j2 needs, as `explorer`, of the data that `atlas` makes."""
    panels = data["panels"]
    has = {
        "modality": True,
        "level": "depths" in data,
        "branch": "paths" in data,
        "root": True,
        "violation": any("violation" in panel for panel in panels),
    }
    layers = {
        "pictures": "sprite" in data,
        "names": True,
        "tree": "parents" in data,
        "rings": any(panel["radial"] for panel in panels),
    }
    cones = any(panel["cones"] for panel in panels)
    return {
        "pictures": panels,
        "tints": [(name, label) for name, label in TINTS.items() if has[name]],
        "layers": [(name, label) for name, label in LAYERS.items() if layers[name]]
        + ([("cone", "Cone")] if cones else []),
        "cones": cones,
        "notes": list(notes),
    }


def script() -> str:
    """The explorer's script, its files one after another."""
    from geomclip.viz.pages import text_of

    return "\n".join(text_of(f"disk/{name}.js") for name in SCRIPTS)


def style_sheet() -> str:
    """The explorer's rules, to stand after report.css."""
    from geomclip.viz.pages import text_of

    return text_of("disk/disk.css")


def render(
    samples: Samples,
    pictures: Sequence[Picture],
    *,
    title: str,
    standfirst: str = "",
    notes: Sequence[str] = (),
    min_radius: float = 0.1,
) -> str:
    """The page. All texts from outside are escaped.

    Raises:
        RequestError: as `atlas`.
    """
    from markupsafe import Markup

    from geomclip import __version__
    from geomclip.viz.pages import POLICY, embed, template, text_of

    data = atlas(samples, pictures, min_radius)
    beside = samples.sheet is not None and not samples.sheet["source"].startswith("data:")
    offline = (
        "Its pictures lie in the folder beside it; keep the two together."
        if beside
        else "This page is one file, loads nothing, and works offline."
    )
    return template("disk/page.html.j2").render(
        explorer=context(data, notes),
        title=title,
        standfirst=standfirst,
        policy=POLICY.replace("img-src data: blob:", "img-src data: blob: file:")
        if beside
        else POLICY,
        version=__version__,
        offline=offline,
        style=Markup(text_of("report.css") + style_sheet()),
        data=Markup(embed(data)),
        script=Markup(script()),
    )


def write_page(path: Path, page: str) -> None:
    """Write a page, whole or not at all. Raises GeomclipError when it can't be written."""
    from geomclip.results import write_file

    write_file(Path(path), page)


def floats(values: NDArray[np.float64]) -> str:
    """Base64 of little-endian float64, row by row."""
    return base64.b64encode(np.ascontiguousarray(values, "<f8").tobytes()).decode("ascii")
