"""What a line of metrics.jsonl tells about a step."""

import math
from typing import Any

import torch
from torch import Tensor

from geomclip.geometry import Geometry
from geomclip.losses import cone_statistics, entailment_loss
from geomclip.train.config import TrainConfig
from geomclip.train.criterion import Criterion
from geomclip.train.log import Clock, Window
from geomclip.train.objective import Terms
from geomclip.train.schedule import entailment_schedule
from manifolds import Euclidean, Lorentz, Manifold, Product, Sphere

# Beyond this many units of curvature radius even float64 loses the digits of a distance.
FAR = 40.0


def describe(
    config: TrainConfig,
    step: int,
    window: Window,
    geometry: Geometry,
    clock: Clock,
    criterion: Criterion,
) -> dict[str, Any]:
    """A line of metrics.jsonl: means over the steps since the last, scalars as they are now."""
    return {
        "step": step,
        "loss": window.mean("loss"),
        "contrastive": window.mean("contrastive"),
        "chance": criterion.chance(),
        **({"losses": parts} if (parts := window.means("loss/")) else {}),
        **geometry.scalars(),
        "beta": math.exp(geometry.scalars()["logit_scale"]),
        **criterion.scalars(),
        "at_bound": geometry.at_bound(),
        "bounds": window.total("bound/"),
        "far": window.total("far").get("", 0),
        **({"data": counts} if (counts := window.total("data/")) else {}),
        "grad_norm": window.mean("grad_norm"),
        "samples_per_second": clock.steps_per_second(step) * config.batch_size,
        "seconds": clock.seconds(),
        "cpu_seconds": clock.cpu_seconds(),
    }


@torch.no_grad()
def describe_cones(
    config: TrainConfig, geometry: Geometry, terms: Terms, step: int
) -> dict[str, float]:
    """Entailment of a process's pairs, trained or not, in radians and shares, the mean over the
    links, with the weight and the cone constant of the step (counted from 0); no angles where there
    are no cones or no links.
    """
    weight, min_radius = entailment_schedule(config, step)
    schedule = {"entailment_weight": weight, "min_radius": min_radius}
    if not geometry.has_cones:
        return schedule
    manifold, points = geometry.manifold, terms.points
    links = [(points[parent], points[child]) for parent, child in config.roles.links]
    if not links:
        return schedule
    found = [cone_statistics(manifold, *link, min_radius) for link in links]
    losses = [entailment_loss(manifold, *link, min_radius).item() for link in links]
    return {
        "entailment": sum(losses) / len(links),
        "satisfied": sum(s.satisfied for s in found) / len(links),
        "aperture": sum(s.aperture for s in found) / len(links),
        "exterior_angle": sum(s.angle for s in found) / len(links),
        "saturated": sum(s.saturated for s in found) / len(links),
        **schedule,
    }


@torch.no_grad()
def describe_norms(geometry: Geometry, terms: Terms) -> dict[str, float]:
    """Mean length of raw features, and, where the root is the origin, mean root distance of the
    points, over a process's pairs.
    """
    norms = {f"norm_{modality}": length.item() for modality, length in terms.norms.items()}
    if geometry.spec.root != "origin":
        return norms
    radii = {
        f"radius_{modality}": geometry.manifold.dist0(points).mean().item()
        for modality, points in terms.points.items()
    }
    return norms | radii


def describe_rates(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The learning rates of the step: `lr` of the towers, `scalar_lr` of the scalars, `scalar_lrs`
    of those with one of their own.
    """
    rates = {group["name"]: group["lr"] for group in optimizer.param_groups}
    own = {n.removeprefix("scalars/"): lr for n, lr in rates.items() if n.startswith("scalars/")}
    return {
        "lr": optimizer.param_groups[0]["lr"],
        **({"scalar_lr": rates["scalars"]} if "scalars" in rates else {}),
        **({"scalar_lrs": own} if own else {}),
    }


@torch.no_grad()
def count_far(geometry: Geometry, *points: Tensor) -> int:
    """How many points lie farther than 40 / sqrt(c) from the origin of a curved space.

    On the sphere nothing can, in flat space nothing is lost by it: both give 0.
    """
    if isinstance(geometry.manifold, Euclidean | Sphere):
        return 0
    return int(_far(geometry.manifold, torch.cat(points)).sum())


def _far(manifold: Manifold, x: Tensor) -> Tensor:
    if isinstance(manifold, Product):  # each factor has a c and digits of its own
        parts = zip(manifold.factors, manifold.split(x), strict=True)
        return torch.stack([_far(m, part) for m, part in parts]).any(0)  # type: ignore[arg-type]
    if isinstance(manifold, Lorentz):  # dist0 = asinh(sqrt(c) |x|) / sqrt(c), for less
        return torch.linalg.vector_norm(x, dim=-1) * manifold.c.sqrt() > math.sinh(FAR)
    return manifold.dist0(x) * manifold.c.sqrt() > FAR
