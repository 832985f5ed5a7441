"""A split of the data against the tree of its label paths, its labels encoded as texts."""

import torch
from torch import Tensor

from geomclip.data.splits import EvalSplit
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
) -> TreeEvaluation | None:
    """`evaluate_tree` on a split: its pictures, and the labels of its pool as texts.

    The last label of every path is encoded, as a prototype of its prompts; several nodes may share
    a text. None where the pool has fewer than two labels.

    Args:
        images: points of the pool's pictures.
    """
    pool = split.pool
    labels = list(dict.fromkeys(path[:k] for path in pool.paths for k in range(1, len(path) + 1)))
    if len(labels) < 2:
        return None
    tree = Hierarchy.from_paths(labels, title=split.name)
    rows = [row for row in split.query.tolist() if pool.paths[row]]
    texts = text_points(model, [path[-1] for path in labels], templates, batch_size)
    empty = text_points(model, [""], batch_size=batch_size).points[0]
    with inference(model):
        return evaluate_tree(
            model.geometry,
            tree,
            texts.of([path[-1] for path in labels]),
            nodes_of(tree, labels),
            images[torch.tensor(rows, dtype=torch.long)] if rows else None,
            nodes_of(tree, [pool.paths[row] for row in rows]) if rows else None,
            empty=empty,
        )
