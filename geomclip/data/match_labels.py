"""Labels of a data set as nodes of a hierarchy: by name, by wnid, or by what a node is called."""

from collections.abc import Iterable

from geomclip.data.wordnet import is_wnid, of_wnid
from geomclip.errors import RequestError
from geomclip.hierarchy import Hierarchy


def match_labels(hierarchy: Hierarchy, labels: Iterable[str]) -> dict[str, int]:
    """The node of each distinct label.

    A label is a node's name ("dog.n.01"), a wnid ("n02084071") of WordNet, or what exactly one node
    is called ("golden retriever", "golden_retriever"; the case of letters has no effect).

    Raises:
        RequestError: labels that are no node (counted, the first named), or that several nodes are
            called (these are listed).
    """
    called: dict[str, list[int]] = {}
    for node in range(len(hierarchy)):
        called.setdefault(_plain(hierarchy.label(node)), []).append(node)
    found: dict[str, int] = {}
    missing: list[str] = []
    for label in dict.fromkeys(labels):
        name = of_wnid(label) if label not in hierarchy.index and is_wnid(label) else label
        nodes = called.get(_plain(label), [])
        if name in hierarchy.index:
            found[label] = hierarchy.index[name]
        elif len(nodes) > 1:
            names = ", ".join(hierarchy.names[i] for i in nodes[:5])
            raise RequestError(
                f'{hierarchy.title}: {len(nodes)} nodes are called "{label}": {names}',
                "Use the name of one of them as the label in the data.",
            )
        elif nodes:
            found[label] = nodes[0]
        else:
            missing.append(label)
    if missing:
        raise RequestError(
            f"{hierarchy.title}: {len(missing):,} of {len(missing) + len(found):,} labels are no "
            f'node, "{missing[0]}" the first',
            "Labels are names of nodes, wnids, or what exactly one node is called.",
        )
    return found


def _plain(label: str) -> str:
    return label.replace("_", " ").casefold()
