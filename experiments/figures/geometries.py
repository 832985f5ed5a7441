"""What a text sees in each geometry: its logit over the features of a picture, and its cone."""

import torch
from plot import COLOURS, Plane, pale, svg, text

import geomclip
from geomclip.spec import GEOMETRIES

TEXT = torch.tensor([1.5, 0.6], dtype=torch.float64)
REACH = 4.0
K = {"Euclidean": 0.6}  # a length; the hyperbolic 0.3 agrees with it at c = 1


@torch.no_grad()
def sight(name: str) -> str:
    """Level sets of the score of a text and a picture, over the picture's scaled feature."""
    g = geomclip.build_geometry(name, dim=2).double()
    # The axes are tangent vectors at the root, alpha f: lengths are distances to the root.
    alpha = float(g.alpha("image"))

    def lift(u: torch.Tensor, modality: str) -> torch.Tensor:
        return g.lift(u / alpha + 1e-9, modality)

    x = lift(TEXT, "text")
    plane = Plane(REACH)
    values = plane.values(lambda u: g.score(x.unsqueeze(0), lift(u, "image"))[0])
    low, high = values.quantile(0.03).item(), values.max().item()
    for k in range(1, 9):
        colour = COLOURS[1] if k > 4 else "#8ab6d6"
        plane.level(values, low + (high - low) * k / 9, colour)
    notes = ["place: the picture's scaled feature αf", "lines: equal logit, in equal steps"]
    if g.has_cones:
        radius = K.get(g.manifold.name, 0.3)
        aperture = g.manifold.half_aperture(x, min_radius=radius)
        inside = plane.values(lambda u: g.manifold.exterior_angle(x, lift(u, "image")) - aperture)
        plane.shade(inside <= 0, pale(COLOURS[4]))
        notes.append(f"shaded: the text's cone, K = {radius:g}")
    plane.dot((0, 0), "root" if g.spec.root == "origin" else "")
    plane.dot(TEXT.tolist(), "text", COLOURS[2])
    plane.title(name)
    words = [text(375, 60 + 22 * k, note, "start") for k, note in enumerate(notes)]
    return svg(640, 390, [*plane.parts, *words])


FIGURES = {f"geometry-{name}": (lambda name=name: sight(name)) for name in GEOMETRIES}
