"""The analyses by name, and all of them in one call. A new one is a file and a row here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from geomclip.analysis.axes import spectrum
from geomclip.analysis.collapse import neural_collapse
from geomclip.analysis.comparison import compare_spaces
from geomclip.analysis.distortion import tree_distortion
from geomclip.analysis.entailment import cones
from geomclip.analysis.gap import modality_gap
from geomclip.analysis.hubs import hubness
from geomclip.analysis.operating import threshold_consistency
from geomclip.analysis.recalls import retrieval
from geomclip.analysis.result import Result
from geomclip.analysis.roots import root_distances
from geomclip.analysis.space import Space
from geomclip.analysis.steps import analogies
from geomclip.analysis.treelike import delta_hyperbolicity
from geomclip.analysis.uniformity import alignment
from geomclip.embeddings import Embeddings
from geomclip.errors import RequestError


@dataclass(frozen=True)
class Analysis:
    """One question: its title, a sentence for readers, the function that answers it.

    `run` raises RequestError where the embeddings lack what it needs; that is no failure.
    """

    title: str
    about: str
    run: Callable[[Space], Result]
    of_two: bool = False
    """Whether it is about a space and its reference, and passed over where there is none."""


ANALYSES: dict[str, Analysis] = {
    "roots": Analysis(
        "Distance to the root",
        "If the space holds a hierarchy, general texts lie near the root and pictures far out. "
        "Compare the order, not the numbers: distances of different geometries have different "
        "units.",
        root_distances,
    ),
    "gap": Analysis(
        "Modality gap",
        "How far apart the midpoints of the two modalities lie, beside how far each spreads, and "
        "whether a plane tells them apart.",
        modality_gap,
    ),
    "alignment": Analysis(
        "Alignment and uniformity",
        "Partners are to be near, all others to spread out evenly. Lower is better for both, and "
        "neither means anything without the other.",
        alignment,
    ),
    "retrieval": Analysis(
        "Retrieval within and across",
        "Whether a point finds its partner in the other modality, and points of its label in both. "
        "A gap shows as good answers within and bad ones across.",
        retrieval,
    ),
    "cones": Analysis(
        "Entailment cones",
        "A text's cone is to hold its own pictures and no others; a cone that is a half space "
        "holds anything.",
        cones,
    ),
    "spectrum": Analysis(
        "Norm and spectrum",
        "How many directions each modality fills, and how unequal they are.",
        spectrum,
    ),
    "hubs": Analysis(
        "Hubs",
        "Points that are near to too many others answer every question; others are never found.",
        hubness,
    ),
    "delta": Analysis(
        "Distance from a tree",
        "How far distances are from those of any tree at all; the nearer to 0, the better a "
        "hyperbolic space could hold the points.",
        delta_hyperbolicity,
    ),
    "distortion": Analysis(
        "Distances against the label tree",
        "Whether distances in the space are those in the tree of the labels, and whether a node's "
        "nearest points are its neighbours there.",
        tree_distortion,
    ),
    "collapse": Analysis(
        "Neural collapse",
        "Whether every class has shrunk to a point, these lie at the corners of a simplex, and the "
        "texts lie where the classes do. Training on classes drives all four to 0.",
        neural_collapse,
    ),
    "thresholds": Analysis(
        "One threshold for all classes",
        "Whether one distance tells every class from the others equally well, as who sets a single "
        "threshold hopes.",
        threshold_consistency,
    ),
    "analogies": Analysis(
        "Analogies",
        "Whether a relation is the same step wherever it is taken. Without other relations: "
        "whether the way from a text to its picture is.",
        analogies,
    ),
    "comparison": Analysis(
        "Against the first space",
        "Whether one space is the other but for a rotation, learned from one modality and tested "
        "on the other too, and whether the same points are neighbours.",
        compare_spaces,
        of_two=True,
    ),
}


@dataclass(frozen=True)
class Report:
    """All answers about one space.

    Args:
        embeddings: what was looked at, in plain values.
        results: by the names of `ANALYSES`.
        left_out: why the others have no answer.
    """

    embeddings: dict[str, Any]
    results: Mapping[str, Result]
    left_out: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {
            "embeddings": self.embeddings,
            "results": {name: result.to_dict() for name, result in self.results.items()},
            "left_out": dict(self.left_out),
        }


def analyze(
    source: Embeddings | Space,
    only: Sequence[str] = (),
    progress: Callable[[str], None] = lambda name: None,
) -> Report:
    """Every analysis, or those named, over shared neighbours; those of two spaces where the space
    has a reference, or they are named.

    Args:
        progress: called with the title of each before it begins.

    Raises:
        RequestError: an unknown name, or no analysis has what it needs.
    """
    for name in only:
        if name not in ANALYSES:
            raise RequestError(f'there is no analysis "{name}"', f"One of {', '.join(ANALYSES)}.")
    space = Space.of(source)
    source_name = space.everything.source or "embeddings"
    results, left_out = {}, {}
    all_of_them = [n for n, a in ANALYSES.items() if space.reference or not a.of_two]
    for name in only or all_of_them:
        progress(ANALYSES[name].title)
        try:
            results[name] = ANALYSES[name].run(space)
        except RequestError as error:
            left_out[name] = error.what.removeprefix(f"{source_name}: ")
    if not results:
        raise RequestError(
            f"{source_name}: nothing to analyse: " + "; ".join(left_out.values()),
            "Give what these analyses need, or leave --only out.",
        )
    return Report(space.everything.to_dict(), results, left_out)
