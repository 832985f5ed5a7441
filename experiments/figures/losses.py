"""Each loss as a curve over the one thing that it is about."""

import math

import torch
from plot import COLOURS, Plane, curves, line, pale, svg, text

import geomclip
import manifolds
from geomclip import losses

double = torch.float64


def at_logit_scale(g: geomclip.Geometry, beta: float) -> geomclip.Geometry:
    g.logit_scale.data.fill_(math.log(beta))
    return g


@torch.no_grad()
def info_nce() -> str:
    """64 pairs on the sphere whose partners are an angle apart."""
    torch.manual_seed(0)
    x = torch.nn.functional.normalize(torch.randn(64, 64, dtype=double), dim=-1)
    other = torch.randn(64, 64, dtype=double)
    across = torch.nn.functional.normalize(other - (other * x).sum(1, True) * x, dim=-1)
    degrees = torch.linspace(0, 180, 73, dtype=double)
    lines = {}
    for beta in (1.0, 5.0, 1 / 0.07):
        g = at_logit_scale(geomclip.build_geometry("clip", dim=64).double(), beta)
        partners = [x * a.cos() + across * a.sin() for a in torch.deg2rad(degrees)]
        lines[f"β = {beta:.3g}"] = torch.stack([losses.info_nce(g, x, y) for y in partners])
    return curves(
        degrees, lines, across="angle between partners, degrees", up="InfoNCE of 64 pairs, nats",
        marks={"log 64, chance": math.log(64)},
    )  # fmt: skip


def sigmoid() -> str:
    """One pair's part of the loss over its logit."""
    logit = torch.linspace(-8, 8, 81, dtype=double)
    parts = {"partners": torch.log1p(torch.exp(-logit)), "others": torch.log1p(torch.exp(logit))}
    return curves(logit, parts, across="logit β s + b of a pair", up="its part of the loss, nats")


@torch.no_grad()
def supcon() -> str:
    """16 points of classes with k members each, all members in one place."""
    g = at_logit_scale(geomclip.build_geometry("clip", dim=16).double(), 1.0)
    x = torch.eye(16, dtype=double)
    scale = torch.linspace(0, 4, 41, dtype=double)
    lines = {}
    for k in (1, 2, 4, 8):
        points, labels = x[: 16 // k].repeat_interleave(k, 0), torch.arange(16) // k
        found = []
        for beta in scale.exp().tolist():
            at_logit_scale(g, beta)
            found.append(losses.supcon_loss(g, points, labels, points))
        lines[f"{k} of a class: down to log {k}"] = torch.stack(found)
    return curves(scale, lines, across="log β, all classes at right angles", up="loss, nats")


def individual() -> str:
    """The objective of one sample over its temperature, by the hardness of its negatives."""
    tau = torch.linspace(0.02, 1, 99, dtype=double)
    torch.manual_seed(0)
    base = torch.randn(200, dtype=double)
    lines = {}
    for name, shift, spread in (
        ("rare: far from all", -0.7, 0.05),
        ("common: some are near", -0.5, 0.2),
        ("ambiguous: many are near", -0.2, 0.3),
    ):
        h = shift + spread * base
        inside = torch.stack([(h / t).logsumexp(0) - math.log(len(h)) for t in tau])
        lines[name] = tau * (0.3 + inside)
    return curves(
        tau, lines, across="the sample's temperature τ", up="τ (ρ + log E exp(h / τ)), ρ = 0.3",
        low=-0.75,
    )  # fmt: skip


@torch.no_grad()
def angle() -> str:
    """Both logits of ATMG as the picture moves outwards."""
    m = manifolds.Lorentz(c=1.0).double()
    text_point = m.expmap0(torch.tensor([1.0, 0.0], dtype=double))
    r = torch.linspace(0.05, 4, 80, dtype=double)
    lines = {}
    for degrees in (10, 30):
        a = math.radians(degrees)
        image = m.expmap0(r.unsqueeze(1) * torch.tensor([math.cos(a), math.sin(a)], dtype=double))
        lines[f"-ext(text, image), {degrees}° aside"] = -m.exterior_angle(text_point, image)
        lines[f"ext(image, text), {degrees}° aside"] = m.exterior_angle(image, text_point)
    return curves(
        r, lines, across="distance of the picture from the root; the text is at 1",
        up="logit / β, radians", low=-math.pi, high=math.pi,
    )  # fmt: skip


def uniformity() -> str:
    """What a pair adds to uniformity."""
    d = torch.linspace(0, 3, 91, dtype=double)
    lines = {f"t = {t:g}": torch.exp(-t * d * d) for t in (0.5, 2.0, 8.0)}
    return curves(d, lines, across="distance of two points", up="potential exp(-t d²)")


def region(points: list[list[float]], radius: float, title: str) -> list[str]:
    """The cones of hyperbolic points in the disk, drawn by tangent vectors at the root."""
    m = manifolds.Lorentz(c=1.0).double()
    plane = Plane(3.2)
    for k, u in enumerate(points):
        x = m.expmap0(torch.tensor(u, dtype=double))
        aperture = m.half_aperture(x, min_radius=radius)
        inside = plane.values(lambda v, x=x, a=aperture: m.exterior_angle(x, m.expmap0(v)) - a)
        plane.level(inside, 0.0, COLOURS[1 + k % 5], 1.6)
        if k == 0:
            plane.shade(inside <= 0, pale(COLOURS[1]))
    plane.title(title)
    plane.dot((0, 0), "root")
    for k, (u, name) in enumerate(zip(points, ("food", "fruit", "apple"), strict=False)):
        plane.dot(u, name, COLOURS[1 + k % 5])
    return plane.parts


@torch.no_grad()
def chains() -> str:
    """Cones of a chain, one in the other, over tangent vectors at the root."""
    parts = region([[0.8, -0.3], [1.5, 0.1], [2.2, 0.55]], 0.15, "c = 1, K = 0.15; tangent vectors")
    return svg(380, 390, parts)


@torch.no_grad()
def entailment() -> str:
    """The loss of one pair over the exterior angle, by the parent's distance to the root."""
    degrees = torch.linspace(0, 180, 91, dtype=double)
    plane, lorentz = manifolds.Euclidean(), manifolds.Lorentz(c=1.0).double()
    lines = {}
    for name, m, radius in (("Euclidean", plane, 0.4), ("hyperbolic", lorentz, 0.2)):
        for r in (0.5, 2.0):
            x = m.expmap0(torch.tensor([r, 0.0], dtype=double))
            loss = (torch.deg2rad(degrees) - m.half_aperture(x, min_radius=radius)).clamp_min(0)
            lines[f"{name}, parent at {r:g}"] = loss
    return curves(degrees, lines, across="exterior angle, degrees", up="loss of a pair, radians")


def hycoclip() -> str:
    """Who stands in whose cone."""
    at = {"box text": (90, 60), "text": (420, 60), "box picture": (90, 240), "picture": (420, 240)}
    ways = [
        ("box text", "text", "η = 1.2"),
        ("box text", "box picture", "η = 0.7"),
        ("text", "picture", "η = 0.7"),
        ("box picture", "picture", "η = 1.2"),
    ]
    parts = []
    for a, b, words in ways:
        (x0, y0), (x1, y1) = at[a], at[b]
        ends = (x0 + (70 if x1 > x0 else 0), y0 + (24 if y1 > y0 else 0))
        tips = (x1 - (74 if x1 > x0 else 0), y1 - (28 if y1 > y0 else 0))
        parts.append(line([ends, tips], COLOURS[1], 2))
        dx, dy = (1, 0) if x1 > x0 else (0, 1)
        parts.append(
            line(
                [
                    (tips[0] - 9 * dx - 5 * dy, tips[1] - 9 * dy - 5 * dx),
                    tips,
                    (tips[0] - 9 * dx + 5 * dy, tips[1] - 9 * dy + 5 * dx),
                ],
                COLOURS[1],
                2,
            )
        )
        middle = ((ends[0] + tips[0]) / 2, (ends[1] + tips[1]) / 2)
        parts.append(text(middle[0] + 34 * dy, middle[1] - 8 * dx + 4 * dy, words))
    for name, (x, y) in at.items():
        parts.append(
            f'<rect x="{x - 66}" y="{y - 22}" width="132" height="44" rx="6" '
            f'fill="{pale(COLOURS[1])}" stroke="{COLOURS[1]}"/>'
        )
        parts.append(text(x, y + 5, name))
    return svg(
        510,
        300,
        [*parts, text(255, 290, "each arrow: the cone of the more general holds the more special")],
    )


@torch.no_grad()
def gram() -> str:
    """The volume of three unit vectors as the third leaves the plane of the others."""
    degrees = torch.linspace(0, 90, 46, dtype=double)
    lines = {}
    for between in (5, 30, 90):
        b = math.radians(between)
        first = torch.tensor([[1.0, 0.0, 0.0]], dtype=double)
        second = torch.tensor([[math.cos(b), math.sin(b), 0.0]], dtype=double)
        found = []
        for a in torch.deg2rad(degrees).tolist():
            third = torch.tensor([[math.cos(a), 0.0, math.sin(a)]], dtype=double)
            found.append(losses.gram_volumes(first, [second, third])[0, 0])
        lines[f"first two {between}° apart"] = torch.stack(found)
    return curves(degrees, lines, across="angle of the third, degrees", up="volume")


@torch.no_grad()
def pmrl() -> str:
    """The share of the first singular value for k vectors at one mutual angle."""
    degrees = torch.linspace(0, 90, 46, dtype=double)
    lines = {}
    for k in (2, 3, 5):
        cosines = torch.deg2rad(degrees).cos()
        gram = cosines.reshape(-1, 1, 1).expand(-1, k, k).clone()
        gram.diagonal(dim1=1, dim2=2).fill_(1.0)
        lines[f"{k} modalities"] = torch.linalg.eigvalsh(gram)[:, -1] / k
    return curves(
        degrees, lines, across="angle between each two, degrees", up="σ₁² / k: 1 where all agree"
    )


def edges() -> str:
    """What an edge adds to the loss, beside the hinge of the entailment loss."""
    score = torch.linspace(-1.5, 1.5, 91, dtype=double)
    lines = {}
    none = torch.zeros(1, dtype=double)
    for beta in (2.0, 8.0):
        found = [losses.edge_loss(s.reshape(1), none, none, sharpness=beta) for s in score]
        lines[f"edge, β = {beta:g}"] = torch.stack(found)
    lines["angle outside of the cone"] = (-score).clamp_min(0)
    return curves(
        score, lines, across="score: half aperture minus exterior angle, radians",
        up="part of the loss", high=4.0,
    )  # fmt: skip


def order() -> str:
    """Level sets of the energy about a parent in two dimensions."""
    parent = torch.tensor([0.5, 0.3], dtype=double)
    plane = Plane(3)
    energy = plane.values(lambda y: losses.order_energy(parent.expand_as(y), y))
    plane.shade(energy <= 0, pale(COLOURS[4]))
    for level in (0.25, 1.0, 2.25, 4.0, 6.25):
        plane.level(energy, level, COLOURS[1])
    plane.dot(parent.tolist(), "parent", COLOURS[2])
    plane.title("energy 0.25, 1, 2.25, ...; 0 where shaded")
    return svg(380, 390, plane.parts)


def ranking() -> str:
    """The loss of a positive over its lead, by how many negatives there are."""
    lead = torch.linspace(-2, 10, 97, dtype=double)
    lines = {f"{m} negatives": torch.log1p(m * torch.exp(-lead)) for m in (1, 10, 100)}
    return curves(
        lead, lines, across="logit of the positive over that of every negative", up="loss, nats"
    )


FIGURES = {
    f"loss-{f.__name__}": f
    for f in (
        info_nce, sigmoid, supcon, individual, angle, uniformity, entailment, chains, hycoclip,
        gram, pmrl, edges, order, ranking,
    )
}  # fmt: skip
