"""A split of the data against the tree of its label paths, its labels encoded as texts."""

import numpy as np
import torch
from torch import Tensor

from geomclip.data.match_labels import match_labels
from geomclip.data.splits import EvalSplit
from geomclip.errors import RequestError
from geomclip.evaluate.features import inference, text_points
from geomclip.evaluate.label_tree import TreeEvaluation, evaluate_tree, nodes_of
from geomclip.hierarchy import Hierarchy
from geomclip.model import ContrastiveModel


def evaluate_split_tree(
    model: ContrastiveModel,
    split: EvalSplit,
    images: Tensor,
    templates: tuple[str, ...] = ("{}",),
    batch_size: int = 256,
    hierarchy: Hierarchy | None = None,
    min_radius: float = 0.1,
) -> TreeEvaluation | None:
    """`evaluate_tree` on a split: its pictures, and the labels above them as texts.

    The tree is that of the label paths in the pool; None where these make fewer than two labels.
    With a hierarchy the last label of each picture's path is a node of it (see `match_labels`), and
    the tree is what lies above these nodes, one parent to each. What a node is called is encoded,
    as a prototype of its prompts.

    Args:
        images: points of the pool's pictures.
        min_radius: K of the cones.

    Raises:
        RequestError: labels that are no nodes, or pictures without any.
    """
    pool = split.pool
    rows = [row for row in split.query.tolist() if pool.paths[row]]
    if hierarchy is None:
        labels = list(dict.fromkeys(p[:k] for p in pool.paths for k in range(1, len(p) + 1)))
        if len(labels) < 2:
            return None
        tree = Hierarchy.from_paths(labels, title=split.name)
        nodes = nodes_of(tree, labels)
        own = nodes_of(tree, [pool.paths[row] for row in rows])
    else:
        if not rows:
            raise RequestError(
                f"{split.name}: no picture has a label to be found in {hierarchy.title}",
                "Class folders or --data.label-columns give labels.",
            )
        place = match_labels(hierarchy, [pool.paths[row][-1] for row in rows])
        name_of = {label: hierarchy.names[i] for label, i in place.items()}
        # Once more: above the parents that a tree leaves out there may be no class.
        tree = hierarchy.span(name_of.values()).rooted().tree().span(name_of.values())
        own = tree.nodes(name_of[pool.paths[row][-1]] for row in rows)
        nodes = np.array([i for i in range(len(tree)) if tree.label(i)])
    called = [tree.label(i) for i in nodes.tolist()]
    texts = text_points(model, called, templates, batch_size)
    empty = text_points(model, [""], batch_size=batch_size).points[0]
    with inference(model):
        return evaluate_tree(
            model.geometry,
            tree,
            texts.of(called),
            nodes,
            images[torch.tensor(rows, dtype=torch.long)] if rows else None,
            own if rows else None,
            empty=empty,
            min_radius=min_radius,
        )
