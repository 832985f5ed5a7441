"""Row and column log-sum-exp, and softplus sums, of pairwise scores in memory linear in the rows.

    logits l_ij = scale * score(x_i, y_j) [+ bias]

Row i and column i + offset are partners; the sums leave them out and their logits come from
differences, so that a contrastive loss log(1 + exp(row_i - pair_i)) keeps its digits near 0.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from manifolds.arguments import prepare, work_dtype
from manifolds.base import Manifold
from manifolds.kernels import precision as precisions
from manifolds.kernels import sum_ops, tiles

__all__ = ["MEMORY", "SCORES", "PairSums", "logsumexp", "softplus_sum"]

SCORES = ("dot", "minkowski", "-dist", "-dist2")
MEMORY = ("auto", "tiled", "buffer")
# Bytes of products that "auto" keeps for the backward pass; on a GPU an eighth of its memory. A
# function of sizes and the device alone, so that a run repeats bit by bit.
CPU_BUFFER = 64 << 20

NAMES = {"Euclidean": "euclidean", "Sphere": "sphere", "Lorentz": "lorentz"}
NAMES["PoincareBall"] = "poincare"
FUNCTIONS = {
    "euclidean": {"-dist": "root", "-dist2": "identity"},
    "sphere": {"-dist": "arc", "-dist2": "arc2"},
    "lorentz": {"-dist": "arcosh", "-dist2": "arcosh2", "minkowski": "shifted"},
    "poincare": {"-dist": "arcosh", "-dist2": "arcosh2"},
}


@dataclass(frozen=True)
class PairSums:
    """Sums of the logits of rows and columns, partners left out, and the partners' own logits."""

    row: Float[Tensor, "n"]
    column: Float[Tensor, "m"]
    pair: Float[Tensor, "k"]


def supports(manifold: Manifold, score: str) -> bool:
    """Whether `logsumexp` and `softplus_sum` know this manifold's score."""
    name = NAMES.get(type(manifold).__name__)
    return name is not None and (score == "dot" or score in FUNCTIONS[name])


def logsumexp(
    manifold: Manifold,
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m d"],
    *,
    score: str = "-dist",
    scale: float | Tensor = 1.0,
    offset: int = 0,
    memory: str = "auto",
    precision: str = "float32",
) -> PairSums:
    """row_i = log sum_j exp(l_ij) and column_j = log sum_i exp(l_ij), partners left out; float64.

    Args:
        manifold: Euclidean, Sphere, Lorentz or PoincareBall; its c receives a gradient.
        score: "dot" <x, y>, "minkowski" <x, y>_L, "-dist", "-dist2".
        scale: a number or a 0-dim tensor (gradients reach it).
        offset: the partner of row i is column i + offset; rows whose partner would lie outside
            0..m-1 have none. Local rows against gathered columns use it.
        memory: "tiled" computes every tile twice, in O((n + m) d) memory; "buffer" keeps n x m
            products, which saves one of four; "auto" keeps those of the first rows, up to 64 MiB
            (on CUDA an eighth of the device's memory).
        precision: "float32"; on CUDA also "bf16x3" and "tf32" (`kernels.precision`).

    Returns:
        `PairSums`; a line without a logit sums to -inf. First derivatives run in linear memory,
        second ones through the n x m formula.

    Raises:
        ValueError: an unknown score, memory or precision, or shapes, dtypes or devices that do
            not fit.
    """
    return _sums(
        problem(
            manifold,
            x,
            y,
            score,
            scale,
            None,
            offset=offset,
            memory=memory,
            precision=precision,
        )
    )


def softplus_sum(
    manifold: Manifold,
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m d"],
    *,
    score: str = "-dist",
    scale: float | Tensor = 1.0,
    bias: float | Tensor = 0.0,
    offset: int = 0,
    memory: str = "auto",
    precision: str = "float32",
) -> PairSums:
    """row_i = sum_j log(1 + exp(l_ij)) with l_ij = scale * score + bias, partners left out.

    Arguments as `logsumexp`; the bias is a number or a 0-dim tensor. `column` is empty.
    """
    return _sums(
        problem(
            manifold,
            x,
            y,
            score,
            scale,
            bias,
            offset=offset,
            memory=memory,
            precision=precision,
        )
    )


@dataclass(frozen=True)
class Problem:
    """Checked inputs of one call of the operators: tensors that take gradients, and options."""

    x: Tensor
    y: Tensor
    c: Tensor
    factor: Tensor
    bias: Tensor
    offset: int
    space: str
    function: str
    reduction: str
    memory: str
    precision: str

    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """x, y, c, factor, bias."""
        return self.x, self.y, self.c, self.factor, self.bias

    def sums(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """row, column and F(u) of the partners, differentiable."""
        results = self.forward(x, y, self.c, self.factor, self.bias, offset=self.offset)
        return results[:3]

    def forward(
        self, x: Tensor, y: Tensor, c: Tensor, factor: Tensor, bias: Tensor, *, offset: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """The forward operator: row, column, F(u) of the partners, reach, kept products."""
        keep = _kept_rows(x, y, self.memory)
        options = self.space, self.function, self.reduction, keep, self.precision
        return sum_ops.forward(x, y, c, factor, bias, offset, *options)

    def backward(
        self,
        grads: tuple[Tensor, Tensor, Tensor],
        sums: tuple[Tensor, Tensor, Tensor, Tensor],
        *tensors: Tensor,
        offset: int,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """The backward operator, for sums = row, column, reach and kept products."""
        options = self.space, self.function, self.reduction, self.precision
        return sum_ops.backward(*grads, *sums, *tensors, offset, *options)


def problem(
    manifold: Manifold,
    x: Tensor,
    y: Tensor,
    score: str,
    scale: float | Tensor,
    bias: float | Tensor | None,
    *,
    offset: int,
    memory: str,
    precision: str,
) -> Problem:
    """Checks arguments and brings them into the operators' form; softplus with a bias, else lse.

    Raises:
        ValueError: as `logsumexp`.
    """
    reduction = "lse" if bias is None else "softplus"
    op = "logsumexp" if bias is None else "softplus_sum"
    if score not in SCORES or not supports(manifold, score):
        known = [s for s in SCORES if supports(manifold, s)]
        raise ValueError(
            f"{op}: no score {score!r} on {manifold.name}; "
            + (f"one of {', '.join(known)}" if known else "take the logits of all pairs instead")
        )
    if memory not in MEMORY:
        raise ValueError(f"memory must be one of {', '.join(MEMORY)}, got {memory!r}")
    precisions.check_precision(precision, x.device)
    if x.ndim != 2 or y.ndim != 2:
        shapes = f"{tuple(x.shape)} and {tuple(y.shape)}"
        raise ValueError(f"{op}: expects (n, d) and (m, d), got {shapes}")
    prepare(op, x[:0], y[:0], pairwise=True)
    x, y = (t if t.dtype == torch.float64 else t.float() for t in (x, y))
    c = manifold.c.to(device=x.device, dtype=work_dtype(x.device)).clone()
    space = "dot" if score == "dot" else NAMES[type(manifold).__name__]
    function = "identity" if score == "dot" else FUNCTIONS[space][score]
    factor = _scalar(scale, x)
    # Scores are functions of u without c: d = arcosh(1 + u) / sqrt(c), <x, y>_L = -(1 + u) / c.
    if score == "-dist" and space != "euclidean":
        factor = -factor * c.rsqrt()
    elif score != "dot":
        factor = -factor if space == "euclidean" else -factor / c
    bias = _scalar(0.0 if bias is None else bias, x)
    return Problem(x, y, c, factor, bias, offset, space, function, reduction, memory, precision)


@torch.no_grad()
def unresolved(
    manifold: Manifold,
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m d"],
    *,
    score: str = "-dist",
    precision: str = "float32",
) -> int:
    """How many pairs `logsumexp` computes from differences or in float64, partners aside.

    Raises:
        ValueError: as `logsumexp`.
    """
    p = problem(manifold, x, y, score, 1.0, None, offset=0, memory="tiled", precision=precision)
    with precisions.exact_products(p.x.device, precision):
        return tiles.build(p.space, p.function, p.x, p.y, p.c, 0, precision).unresolved()


def _sums(problem: Problem) -> PairSums:
    row, column, pair = problem.sums(problem.x, problem.y)
    return PairSums(row, column, problem.factor * pair + problem.bias)


def _scalar(value: float | Tensor, like: Tensor) -> Tensor:
    wide = work_dtype(like.device)
    if isinstance(value, Tensor):
        return value.to(device=like.device, dtype=wide)
    return torch.full((), value, dtype=wide, device=like.device)


def _kept_rows(x: Tensor, y: Tensor, memory: str) -> int:
    """Rows whose products are kept for the backward pass: all, none, or whole tiles of them."""
    n = x.shape[0]
    if memory != "auto":
        return n if memory == "buffer" else 0
    limit = CPU_BUFFER
    if x.device.type == "cuda":
        limit = torch.cuda.get_device_properties(x.device).total_memory // 8
    rows = limit // max(1, y.shape[0] * x.element_size())
    height, _ = tiles.tile_size(x.device)
    return n if rows >= n else rows // height * height
