"""Entailment along the label path of a picture: group => subgroup => name => image.

The cones are MERU's (`losses.entailment`), one for each link of a chain: every node should lie in
the cone of the node above it.
"""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from geomclip.losses.entailment import entailment_loss
from manifolds.base import Manifold

Links = Literal["adjacent", "all"]


def chain_entailment_loss(
    manifold: Manifold,
    nodes: Float[Tensor, "m d"],
    chains: Int[Tensor, "n l"],
    leaves: Float[Tensor, "n d"] | None = None,
    *,
    min_radius: float = 0.1,
    links: Links = "adjacent",
) -> Float[Tensor, ""]:
    """`entailment_loss` over the links of n chains, in radians: the mean over all links.

        loss = (1 / links) sum_i sum_k max(0, ext(node_ik, node_i(k+1)) - aper(node_ik))

    A link that several chains share counts once for each of them.

    Args:
        nodes: points of the labels, each once.
        chains: for each chain the rows of its nodes, the most general first; -1 after its end.
        leaves: what each chain ends in (pictures), below its last node.
        links: "adjacent" joins each node with the one below it, "all" with every node below it.

    Raises:
        ValueError: a row that is no node, a gap in a chain, or no link at all.
        NotImplementedError: the manifold has no cones.
    """
    parents, children = chain_links(chains, len(nodes), leaves=leaves is not None, links=links)
    if not len(parents):
        raise ValueError(
            f"chain_entailment_loss: {len(chains)} chains have no link; give label paths of two "
            "levels, or of one and leaves"
        )
    points = nodes if leaves is None else torch.cat([nodes, leaves])
    return entailment_loss(manifold, points[parents], points[children], min_radius)


def chain_links(
    chains: Int[Tensor, "n l"], nodes: int, *, leaves: bool, links: Links = "adjacent"
) -> tuple[Int[Tensor, "k"], Int[Tensor, "k"]]:
    """Rows of parents and of children of all links; leaf i is row `nodes` + i.

    Raises:
        ValueError: as `chain_entailment_loss`.
    """
    if links not in ("adjacent", "all"):
        raise ValueError(f"links are adjacent or all, got {links!r}")
    there = chains >= 0
    if chains.numel() and (chains >= nodes).any():
        raise ValueError(f"chains name rows of {nodes} nodes, got row {int(chains.max())}")
    if (there[:, 1:] & ~there[:, :-1]).any():
        gap = int((there[:, 1:] & ~there[:, :-1]).any(1).nonzero()[0])
        raise ValueError(
            f"a chain ends at its first -1; chain {gap} goes on after it: {chains[gap].tolist()}"
        )
    if leaves:
        # The leaf comes right below the last node, wherever the chain ends.
        ends = there.sum(1, keepdim=True)
        chains = torch.cat([chains, chains.new_full((len(chains), 1), -1)], 1)
        chains = chains.scatter(
            1, ends, nodes + torch.arange(len(chains), device=chains.device)[:, None]
        )
    depth = chains.shape[1]
    steps = [(k, below) for k in range(depth) for below in range(k + 1, depth)]
    if links == "adjacent":
        steps = [(k, below) for k, below in steps if below == k + 1]
    pairs = [chains[:, [k, below]] for k, below in steps]
    joined = torch.cat(pairs) if pairs else chains.new_empty(0, 2)
    parents, children = joined[(joined >= 0).all(1)].unbind(1)
    return parents, children
