"""Each metric over the one thing that it measures, planted; by the functions that measure it."""

import math

import numpy as np
import torch
from plot import COLOURS, Plane, curves, svg

import geomclip
import manifolds
from geomclip import Hierarchy, analysis, evaluate
from geomclip.analysis.axes import effective_rank
from geomclip.analysis.hubs import skewness
from geomclip.evaluate.ancestry import ranked
from geomclip.evaluate.cones import cone_statistics
from geomclip.evaluate.hierarchy import root_tau
from geomclip.evaluate.retrieval import chance_recall, retrieve
from geomclip.evaluate.taxonomy import item_errors

double = torch.float64


def recall() -> str:
    """R@k of chance, and of texts that are noisy copies of their pictures."""
    torch.manual_seed(0)
    g = geomclip.build_geometry("clip", dim=16).double()
    n, ks = 500, torch.arange(1, 51)
    image = torch.randn(n, 16, dtype=double)
    own = torch.arange(n)
    lines = {}
    for noise in (1.0, 1.5):
        text = image + noise * torch.randn(n, 16, dtype=double)
        rank = retrieve(g.score, g.lift(image, "image"), g.lift(text, "text"), own, own).rank
        lines[f"noise {noise:g}"] = torch.stack([(rank <= k).double().mean() for k in ks])
    for p in (1, 5):
        lines[f"chance, {p} of 500 right"] = torch.tensor(
            [chance_recall([p], n, int(k)) for k in ks]
        )
    return curves(ks.double(), lines, across="k", up="R@k", high=1.0)


@torch.no_grad()
def zero_shot() -> str:
    """Where a picture is put into which of three classes."""
    parts = []
    prototypes = torch.tensor([[1.7, 0.2], [0.6, 0.4], [-0.9, 1.3]], dtype=double)
    for k, name in enumerate(("clip", "euclip", "meru")):
        g = geomclip.build_geometry(name, dim=2).double()
        alpha = float(g.alpha("image"))
        plane = Plane(3, 250, (15 + 270 * k, 34))
        classes = g.lift(prototypes / alpha, "text")

        def margin(u: torch.Tensor, c: int, g=g, classes=classes, alpha=alpha) -> torch.Tensor:
            score = g.score(g.lift(u / alpha + 1e-9, "image"), classes)
            rest = torch.cat([score[:, :c], score[:, c + 1 :]], 1).amax(1)
            return score[:, c] - rest

        for c in range(3):
            plane.level(plane.values(lambda u, c=c: margin(u, c)), 0.0, "#555", 1.5)
        for c, name_of in enumerate(("apple", "fruit", "tool")):
            plane.dot(prototypes[c].tolist(), name_of, COLOURS[1 + c])
        plane.dot((0, 0))
        plane.title(name)
        parts += plane.parts
    return svg(820, 300, parts)


def root_order() -> str:
    """Mean tau of four levels a step apart whose distances are noisy."""
    torch.manual_seed(0)
    noise = torch.linspace(0, 3, 31, dtype=double)
    lines = {}
    for name, steps in {
        "steps 1, 1, 1": (0, 1, 2, 3),
        "0, 0, 1: texts alike, pictures further": (0, 0, 0, 1),
        "the contrary": (3, 2, 1, 0),
    }.items():
        level = torch.tensor(steps, dtype=double)
        draws = torch.randn(4000, 4, dtype=double)
        lines[name] = torch.stack(
            [root_tau([*(level + s * draws).unbind(1)]).mean() for s in noise]
        )
    return curves(
        noise, lines, across="spread of root distances, in steps", up="root_tau", low=-1.0, high=1.0
    )


@torch.no_grad()
def cones() -> str:
    """Own, other, aperture and AUC of planted groups, over K."""
    torch.manual_seed(0)
    m = manifolds.Lorentz(c=1.0).double()
    centres = torch.nn.functional.normalize(torch.randn(9, 4, dtype=double), dim=-1)
    own = torch.arange(9).repeat_interleave(100)
    labels = m.expmap0(0.8 * centres)
    images = m.expmap0(2.0 * centres[own] + 0.6 * torch.randn(900, 4, dtype=double))
    radius = torch.logspace(-2, 0.2, 45, dtype=double)
    found = [cone_statistics(m, labels, images, own, float(k)) for k in radius]
    lines = {
        "in the own group's cone": torch.tensor([f.own for f in found]),
        "in another group's": torch.tensor([f.other for f in found]),
        "mean half aperture / (π/2)": torch.tensor([f.aperture / (math.pi / 2) for f in found]),
        "AUC": torch.tensor([f.auc for f in found]),
    }
    return curves(radius.log10(), lines, across="log₁₀ K", up="share", high=1.0)


def ancestors() -> str:
    """Average precision of three ancestors, two of them first, over the place of the third."""
    places = torch.arange(3, 31)
    found = {}
    for name, first in (("others at 1 and 2", (1, 2)), ("at 2 and 4", (2, 4))):
        values = []
        for place in places.tolist():
            scores = -np.arange(1, 41, dtype=float)
            third = place if place not in first else place + 1
            right = np.array([*first, third]) - 1
            values.append(ranked(scores, right)[0])
        found[name] = torch.tensor(values)
    return curves(
        places.double(), found, across="place of the third ancestor among 40 labels",
        up="average precision", high=1.0,
    )  # fmt: skip


def taxonomic() -> str:
    """J of a wrong class, over how far up the common ancestor lies."""
    paths = [(f"a{i}", f"b{j}", f"c{k}", f"d{n}") for i in (0, 1) for j in (0, 1) for k in (0, 1)
             for n in (0, 1)]  # fmt: skip
    spelled = [tuple("".join(p[: k + 1]) for k in range(4)) for p in paths]
    tree = Hierarchy.from_paths(spelled)
    node = {p: tree.node(" > ".join(s)) for p, s in zip(paths, spelled, strict=True)}
    true = node["a0", "b0", "c0", "d0"]
    wrong = [true, node["a0", "b0", "c0", "d1"], node["a0", "b0", "c1", "d0"],
             node["a0", "b1", "c0", "d0"], node["a1", "b0", "c0", "d0"]]  # fmt: skip
    steps = torch.arange(5, dtype=double)
    lines = {}
    for itself, name in ((False, "as published"), (True, "class included")):
        e = item_errors(tree, np.array(wrong), np.full(5, true), include_self=itself)
        lines[f"Jaccard, {name}"] = torch.from_numpy(e["jaccard"])
        lines[f"LCA / 5, {name}"] = torch.from_numpy(e["lca"]) / 5
    return curves(
        steps, lines, across="levels up to the common ancestor (0: the right class)", up="value",
        high=1.05,
    )  # fmt: skip


def clusters() -> str:
    """Triplets and cophenetic correlation of planted kin, over the spread of their classes."""
    tree = Hierarchy.from_paths([(a, a + b) for a in "uvwxyz" for b in "1234"])
    g = manifolds.Lorentz(c=1.0).double()
    spread = torch.linspace(0.05, 2, 14, dtype=double)
    triplets, cophenetic = [], []
    for s in spread.tolist():
        torch.manual_seed(0)
        kin = torch.randn(6, 8, dtype=double).repeat_interleave(4, 0)
        points = g.expmap0(kin + s * torch.randn(24, 8, dtype=double))
        found = evaluate.cluster(g, points, tree, tree.leaves)
        triplets.append(found.triplets.value)
        cophenetic.append(found.cophenetic.value)
    lines = {"triplets": torch.tensor(triplets), "cophenetic": torch.tensor(cophenetic)}
    return curves(
        spread, lines, across="spread of the classes about their kin", up="value", high=1.0,
        marks={"triplets by chance": 1 / 3},
    )  # fmt: skip


def gap() -> str:
    """The measured gap of 100 pictures and texts whose means are apart, and the plain one."""
    torch.manual_seed(0)
    g = geomclip.build_geometry("euclip", dim=16)
    true = torch.linspace(0, 2, 11, dtype=double)
    ours, plain = [], []
    for shift in true.tolist():
        a, b = [], []
        for _ in range(12):
            image, text = torch.randn(100, 16), torch.randn(100, 16)
            image[:, 0] += shift
            found = analysis.modality_gap(geomclip.Embeddings({"image": image, "text": text}, g))
            a.append(found.distance.value)
            b.append((image.mean(0) - text.mean(0)).norm().item())
        ours.append(sum(a) / len(a))
        plain.append(sum(b) / len(b))
    lines = {
        "modality_gap": torch.tensor(ours),
        "distance of the means": torch.tensor(plain),
        "true": true,
    }
    return curves(true, lines, across="true distance of the midpoints", up="measured, mean of 12")


def alignment() -> str:
    """Uniformity of points on the sphere, from one place to everywhere."""
    torch.manual_seed(0)
    m = manifolds.Sphere(c=1.0).double()
    spread = torch.linspace(0.02, 3, 40, dtype=double)
    lines = {}
    for d in (3, 16, 128):
        noise = torch.randn(300, d, dtype=double)
        start = torch.zeros(d, dtype=double)
        start[0] = d**0.5
        found = []
        for s in spread.tolist():
            x = torch.nn.functional.normalize(start + s * noise, dim=-1)
            found.append(geomclip.losses.uniformity_loss(m, x, metric="chord"))
        lines[f"{d} dimensions"] = torch.stack(found)
    return curves(
        spread, lines, across="noise over the common direction", up="uniformity, nats", low=-4.0,
        high=0.0,
    )  # fmt: skip


def spectrum() -> str:
    """Effective rank of 64 variances k^-decay."""
    decay = torch.linspace(0, 3, 61, dtype=double)
    k = torch.arange(1, 65, dtype=double)
    variances = [k**-a for a in decay]
    lines = {
        "effective rank": torch.tensor([effective_rank(v) for v in variances]),
        "participation ratio": torch.tensor([(v.sum() ** 2 / v.square().sum()) for v in variances]),
    }
    return curves(decay, lines, across="decay a of the variances k⁻ᵃ", up="of 64 axes")


def hubs() -> str:
    """Skewness of the 10-occurrence of 500 normal points, over the dimension."""
    torch.manual_seed(0)
    dims = torch.tensor([2.0, 4, 8, 16, 32, 64, 128], dtype=double)
    lines = {}
    for name in ("euclip", "clip"):
        found = []
        for d in dims.int().tolist():
            g = geomclip.build_geometry(name, dim=d).double()
            x = g.lift(torch.randn(500, d, dtype=double), "image")
            scores = g.score(x, x).fill_diagonal_(-math.inf)
            counts = torch.bincount(scores.topk(10).indices.flatten(), minlength=500).double()
            found.append(skewness(counts))
        lines[name] = torch.tensor(found)
    return curves(dims.log2(), lines, across="log₂ of the dimension", up="skewness")


FIGURES = {
    f"metric-{f.__name__}": f
    for f in (
        recall, zero_shot, root_order, cones, ancestors, taxonomic, clusters, gap, alignment,
        spectrum, hubs,
    )
}  # fmt: skip
