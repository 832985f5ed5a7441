"""The interactive pages beside the site, made from the disk explorer's own scripts: `cones` is the
cone playground, `curvature` a triangle under a curvature of your choice, `tree` the emoji's label
tree in the plane and in the hyperbolic disk.
"""

import math
from importlib import resources
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent / "live_pages"
PAGES = ("cones", "curvature", "tree")

# Geodesic length between two levels of the tree: 9 groups, 97 subgroups, 1,609 names.
STEP = 2.0


def fan(parents: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Depth, and direction in radians, of every node: a subtree gets a share of the circle in
    proportion to its leaves. Parents stand before their children; the root's parent is -1."""
    n = len(parents)
    leaves, depth, start = np.zeros(n), np.zeros(n, int), np.zeros(n)
    with_children = set(parents)
    for node in reversed(range(n)):
        leaves[node] = leaves[node] if node in with_children else 1
        if parents[node] >= 0:
            leaves[parents[node]] += leaves[node]
    taken = np.zeros(n)
    for node in range(1, n):
        above = parents[node]
        depth[node] = depth[above] + 1
        start[node] = start[above] + taken[above]
        taken[above] += leaves[node]
    return depth, 2 * math.pi * (start + leaves / 2) / leaves[0]


def tree() -> str:
    """The label tree of the emoji set, the same tangent vectors in two spaces."""
    from geomclip import Hierarchy
    from geomclip.viz.explorer import Picture, Samples, render

    h = Hierarchy.read("emoji").rooted()
    order = [int(k) for k in h.order]
    place = {node: k for k, node in enumerate(order)}
    above = [h.parents(node) for node in order]
    parents = [place[int(p[0])] if len(p) else -1 for p in above]
    depth, angle = fan(parents)
    r = STEP * depth
    xy = np.stack([r * np.cos(angle), r * np.sin(angle)], 1)
    paths: list[list[str]] = []
    for k, node in enumerate(order):
        paths.append([] if k == 0 else [*paths[parents[k]], h.names[node].rpartition(" > ")[2]])
    samples = Samples(
        [path[-1] if path else "all emoji" for path in paths],
        [0] * len(paths),
        modalities=("label",),
        paths=paths,
        depths=depth.tolist(),
        levels=("root", "group", "subgroup", "name"),
        parents=parents,
    )
    pictures = [
        Picture("Euclidean plane", "euclidean", xy, r, c=0.0),
        Picture("Hyperbolic plane, c = 1", "hyperbolic", xy, r, c=1.0),
    ]
    page = render(samples, pictures, title="The emoji's label tree in two planes")
    # The page around it has a heading of its own.
    return page.replace("</style>", "header, footer { display: none; }</style>", 1)


def page(name: str) -> str:
    """A page of scripts that needs no data. Raises KeyError for an unknown one."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    from geomclip.viz.explorer import script, style_sheet
    from geomclip.viz.pages import POLICY

    with resources.as_file(resources.files("geomclip.viz")) as viz:
        environment = Environment(
            loader=FileSystemLoader([HERE, viz / "disk"]),
            autoescape=True,
            undefined=StrictUndefined,
        )
        base = (viz / "report.css").read_text(encoding="utf-8")
        return environment.get_template(f"{name}.html.j2").render(
            policy=POLICY,
            style=Markup(base + style_sheet()),
            script=Markup(script()),
            own=Markup((HERE / "curvature.js").read_text(encoding="utf-8")),
        )


def write_pages(folder: Path) -> list[Path]:
    """All of them as NAME.html; each tells the page around it how tall it is."""
    folder.mkdir(parents=True, exist_ok=True)
    size = (HERE / "size.js").read_text(encoding="utf-8")
    written = []
    for name in PAGES:
        html = tree() if name == "tree" else page(name)
        end = html.index("</body>")
        path = folder / f"{name}.html"
        path.write_text(html[:end] + f"<script>{size}</script>" + html[end:], encoding="utf-8")
        written.append(path)
    return written
