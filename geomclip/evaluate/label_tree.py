"""One space against its label tree: every measure of a hierarchy that the points at hand allow."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from geomclip.errors import RequestError
from geomclip.evaluate.ancestry import (
    AncestorRetrieval,
    Entailment,
    ancestor_retrieval,
    entailment_auc,
    scores_of,
)
from geomclip.evaluate.clusters import Clustering, centroids, cluster
from geomclip.evaluate.depth import DepthOrder, depth_order
from geomclip.evaluate.retrieval import BLOCK
from geomclip.evaluate.roots import OWN, roots_of
from geomclip.evaluate.taxonomy import TaxonomicErrors, taxonomic_errors
from geomclip.evaluate.tested import Tested
from geomclip.geometry import Geometry
from geomclip.hierarchy import Hierarchy

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from geomclip.embeddings import Embeddings

# Classes have to have this many pictures on average for a centroid to be one.
PICTURES_A_CLASS = 2


@dataclass(frozen=True)
class TreeEvaluation:
    """What the label tree and the points say about each other.

    Keys of `entailment` and `retrieval` are (queries, score): queries are `label` (every label asks
    for its ancestors) or `image` (every picture asks for its labels); scores are those of
    `scores_of`, with the root in their name where it is not the geometry's own.

    Args:
        hierarchy: counts of the tree.
        depth: root distance of the labels against depth, by root: `own`, `mean`, `empty`.
        entailment, retrieval: see above.
        errors: pictures classified by the labels that pictures have; as published, and with the
            class itself included. Empty without pictures.
        clustering: centroids of the pictures' classes; None where `notes` says why.
        cluster_level: depth of these classes in the tree.
        notes: what could not be tested, and why.
    """

    hierarchy: dict[str, Any]
    depth: dict[str, DepthOrder]
    entailment: dict[tuple[str, str], Entailment]
    retrieval: dict[tuple[str, str], AncestorRetrieval]
    errors: dict[str, TaxonomicErrors]
    clustering: Clustering | None
    cluster_level: int | None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The numbers of `rows` by what they are, median distances by root and depth, counts."""
        return {
            "hierarchy": self.hierarchy,
            "rows": {what: number.to_dict() for what, number in self.rows()},
            "medians": {
                root: {str(depth): value for depth, value in d.medians.items()}
                for root, d in self.depth.items()
            },
            "cluster_level": self.cluster_level,
            "notes": list(self.notes),
        }

    def rows(self) -> Iterator[tuple[str, Tested]]:
        """(what, number) of the measures, for a table."""
        for root, d in self.depth.items():
            yield f"depth order, root {root}: tau", d.tau
            yield f"depth order, root {root}: pairs in order", d.pairs
            yield f"depth order, root {root}: edges in order", d.edges
        for (queries, score), e in self.entailment.items():
            yield f"entailment AUC, {queries} by {score}", e.auc
        for (queries, score), r in self.retrieval.items():
            yield f"ancestors' AP, {queries} by {score}", r.average_precision
            yield f"ancestors' rank, {queries} by {score}", r.rank
        for variant, errors in self.errors.items():
            for name in ("accuracy", "tie") if variant == "published" else ():
                yield f"classes: {name}", getattr(errors, name)
            for name in ("lca", "jaccard", "precision", "recall"):
                yield f"classes, {variant}: {name}", getattr(errors, name)
        if self.clustering:
            yield "clusters: cophenetic correlation", self.clustering.cophenetic
            yield "clusters: triplet accuracy", self.clustering.triplets


def evaluate_tree(
    geometry: Geometry,
    hierarchy: Hierarchy,
    labels: Float[Tensor, "k d"],
    nodes: np.ndarray,
    images: Float[Tensor, "n d"] | None = None,
    image_node: np.ndarray | None = None,
    *,
    empty: Float[Tensor, "d"] | None = None,
    min_radius: float = 0.1,
    shuffles: int = 5,
) -> TreeEvaluation:
    """Measure a space against a label tree.

    Args:
        hierarchy: the tree; its root may have no point, as an artificial one.
        labels: points of the texts of some nodes.
        nodes: (k,) which nodes those are, all distinct.
        images: points of pictures.
        image_node: (n,) the most particular label of each picture, a node.
        empty: the point of the text "".
        min_radius: K of the cones.
        shuffles: of each null.

    Raises:
        RequestError: no tree, fewer than two labels; points that are not of the same number as
            their nodes.
    """
    hierarchy.require_tree("evaluation on labels")
    images_given = images is not None and image_node is not None
    n = len(images) if images is not None else 0
    if len(labels) != len(nodes) or (images_given and n != len(image_node)):  # type: ignore[arg-type]
        raise RequestError(
            f"{hierarchy.title}: {len(labels)} label points for {len(nodes)} nodes, or {n} picture "
            "points for another number of labels",
            "Give one node a point.",
        )
    if len(nodes) < 2:
        raise RequestError(f"{hierarchy.title}: {len(nodes)} labels make no tree", "Give more.")
    notes: list[str] = []
    everything = labels if images is None else torch.cat([labels, images])
    roots = roots_of(geometry, everything, empty)
    scores = _scores(geometry, roots, min_radius)

    part = _restricted(hierarchy, nodes)
    depth = {}
    if len(np.unique(part.depth)) < 2:
        notes.append("depth order: all labels have one depth")
    else:
        depth = {
            root: depth_order(geometry, part, labels, at, shuffles=shuffles)
            for root, at in roots.items()
        }
    entailment: dict[tuple[str, str], Entailment] = {}
    retrieval: dict[tuple[str, str], AncestorRetrieval] = {}
    asked: dict[str, tuple[Tensor, csr_array, np.ndarray | None]] = {
        "label": (labels, part.above, np.arange(len(nodes)))
    }
    if images is not None and image_node is not None:
        of_images = hierarchy.above_or_self[image_node][:, nodes].tocsr()
        of_images.sort_indices()
        asked["image"] = (images, of_images, None)
    for who, (points, above, itself) in asked.items():
        if not above.nnz:
            notes.append(f"entailment and ancestors of {who}s: no label is above another")
            continue
        for name, score in scores.items():
            retrieval[who, name] = ancestor_retrieval(
                score, labels, points, above, itself, shuffles=shuffles
            )
            if above.nnz < above.shape[0] * above.shape[1]:
                entailment[who, name] = entailment_auc(
                    score, labels, points, above, itself, shuffles=shuffles
                )
    errors: dict[str, TaxonomicErrors] = {}
    clustering, level = None, None
    if images is not None and image_node is not None:
        errors = _errors(geometry, hierarchy, labels, nodes, images, image_node, notes, shuffles)
        clustering, level = _clusters(geometry, hierarchy, images, image_node, notes, shuffles)
    return TreeEvaluation(
        hierarchy.to_dict(), depth, entailment, retrieval, errors, clustering, level, tuple(notes)
    )


def evaluate_label_tree(
    embeddings: "Embeddings", *, min_radius: float = 0.1, shuffles: int = 5
) -> TreeEvaluation:
    """`evaluate_tree` on embeddings: their `label` points against the tree of their label paths.

    Pictures are the points of the first modality, with the ends of their paths as classes.

    Raises:
        RequestError: there are no label points, or no paths.
    """
    from geomclip.embeddings import LABEL

    first = embeddings.modalities[0]
    paths = embeddings.label_paths(LABEL) if LABEL in embeddings.points else None
    if paths is None:
        raise RequestError(
            f"{embeddings.source or 'embeddings'}: no points of labels with their paths",
            "Embed data with label paths (class folders, --data.label-columns) by geomclip embed.",
        )
    own = embeddings.label_paths(first) or []
    tree = Hierarchy.from_paths([*paths, *own], title=embeddings.source or "label paths")
    has = [i for i, path in enumerate(own) if path]
    return evaluate_tree(
        embeddings.geometry,
        tree,
        embeddings[LABEL],
        nodes_of(tree, paths),
        embeddings[first][torch.tensor(has)] if has else None,
        nodes_of(tree, [own[i] for i in has]) if has else None,
        empty=embeddings.empty,
        min_radius=min_radius,
        shuffles=shuffles,
    )


def nodes_of(tree: Hierarchy, paths: list[tuple[str, ...]]) -> np.ndarray:
    """The nodes of label paths in the tree that `Hierarchy.from_paths` made of them."""
    return tree.nodes(" > ".join(path) for path in paths)


def _scores(
    geometry: Geometry, roots: dict[str, Tensor | None], min_radius: float
) -> dict[str, Any]:
    if geometry.has_cones:
        return scores_of(geometry, min_radius=min_radius)
    found = {}
    for name, at in roots.items():
        some = scores_of(geometry, at)
        found["score"] = some["score"]
        found["angle" if name == OWN else f"angle from {name}"] = some["angle"]
    return found


def _restricted(hierarchy: Hierarchy, nodes: np.ndarray) -> Hierarchy:
    """The nodes that have points, in the order of the points."""
    keep = set(nodes.tolist())
    rest = hierarchy.without([hierarchy.names[i] for i in range(len(hierarchy)) if i not in keep])
    order = rest.nodes(hierarchy.names[i] for i in nodes)
    place = np.argsort(order)
    parents = [[int(place[p]) for p in rest.parents(i)] for i in order]
    return Hierarchy.from_parents([rest.names[i] for i in order], parents, title=rest.title)


def _errors(
    geometry: Geometry,
    hierarchy: Hierarchy,
    labels: Tensor,
    nodes: np.ndarray,
    images: Tensor,
    image_node: np.ndarray,
    notes: list[str],
    shuffles: int,
) -> dict[str, TaxonomicErrors]:
    """Pictures classified among the classes that pictures have and that have a point."""
    classes = np.flatnonzero(np.isin(nodes, image_node))
    asked = np.flatnonzero(np.isin(image_node, nodes))
    if len(classes) < 2 or not len(asked):
        notes.append(f"errors of classification: {len(classes)} classes with pictures and a point")
        return {}
    if int(hierarchy.roots[0]) in image_node:
        notes.append("errors of classification: the root is a class, which has no ancestors")
        return {}
    points, candidates = images[torch.from_numpy(asked)], labels[torch.from_numpy(classes)]
    best = []
    step = max(1, BLOCK // len(classes))
    with torch.no_grad():
        for i in range(0, len(asked), step):
            best.append(geometry.score(points[i : i + step], candidates).argmax(1).cpu())
    predicted = nodes[classes][torch.cat(best).numpy()]
    return {
        variant: taxonomic_errors(
            hierarchy, predicted, image_node[asked], include_self=own, shuffles=shuffles
        )
        for variant, own in (("published", False), ("class included", True))
    }


def _clusters(
    geometry: Geometry,
    hierarchy: Hierarchy,
    images: Tensor,
    image_node: np.ndarray,
    notes: list[str],
    shuffles: int,
) -> tuple[Clustering | None, int | None]:
    """Clusters at the deepest level whose classes have several pictures."""
    depth, node = hierarchy.depth, image_node.copy()
    for level in range(int(depth[image_node].max()), 1, -1):
        up = depth[node] > level
        node[up] = [hierarchy.parents(i)[0] for i in node[up].tolist()]
        rows = np.flatnonzero(depth[node] == level)
        classes, label = np.unique(node[rows], return_inverse=True)
        if len(classes) < 3 or len(rows) < PICTURES_A_CLASS * len(classes):
            continue
        centers = centroids(
            geometry.manifold, images[torch.from_numpy(rows)], torch.from_numpy(label), len(classes)
        )
        try:
            found = cluster(geometry.manifold, centers, hierarchy, classes, shuffles=shuffles)
        except RequestError as error:
            notes.append(f"clusters: {error.what}")
            return None, None
        return found, level
    notes.append(
        "clusters: no level below the first with three classes of "
        f"{PICTURES_A_CLASS} pictures on average"
    )
    return None, None
