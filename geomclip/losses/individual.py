"""A temperature for every sample (iSogCLR: Qiu et al., arXiv 2305.11965), over the scores of any
geometry.

    F = (1/n) sum_i  tau_i  (rho + log E_j exp(h_ij / tau_i)),    h_ij = s_ij - s_ii,  j != i
                   + tau'_i (rho + log E_j exp(h'_ij / tau'_i)),  h'_ij = s_ji - s_ii

minimised over encoders and tau_i, tau'_i in [tau_min, tau_max], s being `Geometry.score`, without
the common temperature. The expectation runs over the whole data set: a moving average u_i of what
batches give stands for it, and in the gradients for the batch's own mean. This is the objective and
the estimator that the authors' library documents (LibAUC, GCLoss, bimodal).
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from geomclip.geometry import Geometry
from geomclip.losses.bands import by_bands
from geomclip.losses.state import LossState
from geomclip.losses.sums import check_pairs
from geomclip.precision import no_autocast


class IndividualTemperatures(LossState):
    """iSogCLR's state for a data set of `count` samples, and its loss.

    `forward` leaves the state as it is, so that it may be called again for the same batch;
    `commit_`, after the optimizer's step, takes over what the last call with gradients found.

    Args:
        count: number of samples; ids run from 0 to count - 1.
        tau: temperature of every sample at the start, in units of the score.
        tau_min, tau_max: bounds of the temperatures.
        rho: how far the weights of a sample's negatives may be from uniform, nats. Temperatures
            fall to tau_min where rho exceeds log(n - 1), the most that n - 1 negatives can differ.
        rate: step size of the temperatures.
        momentum: share of a new gradient in their moving average.
        decay: share of a batch's own mean in u_i, gamma; 1 forgets earlier batches.

    Raises:
        ValueError: a count below 1, or values outside 0 < tau_min <= tau <= tau_max, rho >= 0,
            rate >= 0, 0 < momentum <= 1, 0 < decay <= 1.
    """

    log_mean: Tensor
    temperature: Tensor
    velocity: Tensor
    seen: Tensor

    def __init__(
        self,
        count: int,
        *,
        tau: float = 0.01,
        tau_min: float = 0.005,
        tau_max: float = 0.05,
        rho: float = 6.0,
        rate: float = 0.01,
        momentum: float = 0.9,
        decay: float = 0.9,
    ) -> None:
        super().__init__()
        if count < 1:
            raise ValueError(f"individual temperatures need at least one sample, got {count}")
        if not 0 < tau_min <= tau <= tau_max < math.inf:
            raise ValueError(
                f"temperatures need 0 < tau_min <= tau <= tau_max, got tau_min={tau_min}, "
                f"tau={tau}, tau_max={tau_max}"
            )
        if not (rho >= 0 and rate >= 0 and 0 < momentum <= 1 and 0 < decay <= 1):
            raise ValueError(
                "individual temperatures need rho >= 0, rate >= 0, momentum and decay in (0, 1], "
                f"got rho={rho}, rate={rate}, momentum={momentum}, decay={decay}"
            )
        self.tau_min, self.tau_max, self.rho = tau_min, tau_max, rho
        self.rate, self.momentum, self.decay = rate, momentum, decay
        # Row 0 of each for anchors x, row 1 for anchors y.
        self.register_buffer("log_mean", torch.zeros(2, count, dtype=torch.float64))
        self.register_buffer("temperature", torch.full((2, count), tau, dtype=torch.float64))
        self.register_buffer("velocity", torch.zeros(2, count, dtype=torch.float64))
        self.register_buffer("seen", torch.zeros(count, dtype=torch.bool))
        self._found: tuple[Tensor, Tensor, Tensor] | None = None

    def forward(
        self,
        geometry: Geometry,
        x: Float[Tensor, "n d"],
        y: Float[Tensor, "n d"],
        ids: Int[Tensor, "n"],
    ) -> Float[Tensor, ""]:
        """The batch's share of F in score units, with the estimator's gradient. Memory O(n).

        Args:
            geometry: gives scores; its logit_scale is not used and gets no gradient.
            x: points of one modality; y[i] belongs to x[i].
            y: points of the other modality.
            ids: which sample each pair is, all different.

        Raises:
            ValueError: x and y are not the same number of points, fewer than two, or ids that
                repeat, are not one a pair, or lie outside 0..count - 1.
        """
        x, y = check_pairs(geometry, x, y, "individual temperatures")
        ids = self._check_ids(ids, len(x))
        n, tau = len(x), self.temperature[:, ids]
        with no_autocast(x):
            with torch.no_grad():
                found = zip(*by_bands(_sums, x, len(y), geometry, y, tau), strict=True)
                row, row_mean, column, column_mean, own = (list(part) for part in found)
                pair = torch.cat(own)
                joined = _join(torch.stack(column), torch.stack(column_mean), pair / tau[1])
                log_mean = torch.stack([torch.cat(row), joined[0]]) - math.log(n - 1)
                mean = torch.stack([torch.cat(row_mean), joined[1]])
                average = self._average(log_mean, ids)
                # Sum of an anchor's weights, n - 1 where u is the batch's own mean.
                total = (n - 1) * (log_mean - average).exp()
            bands = by_bands(_pull, x, n, geometry, y, tau, pair, average, total.sum(0))
        pulled = torch.stack([part for (part,) in bands]).sum() / (n * (n - 1))
        value = (tau * (average + self.rho)).sum() / n
        if torch.is_grad_enabled():
            # dF/dtau_i = rho + log u_i - E_j[exp(h_ij / tau_i) h_ij / tau_i] / u_i
            self._found = ids, average, self.rho + average - mean * total / (n - 1)
        return (value + (pulled - pulled.detach())).to(x.dtype)

    @torch.no_grad()
    def commit_(self) -> None:
        """Takes over moving averages and temperatures of the last `forward`; nothing before one."""
        if self._found is None:
            return
        ids, average, gradient = self._found
        self._found = None
        self.log_mean[:, ids] = average
        self.seen[ids] = True
        velocity = (1 - self.momentum) * self.velocity[:, ids] + self.momentum * gradient
        self.velocity[:, ids] = velocity
        moved = self.temperature[:, ids] - self.rate * velocity
        self.temperature[:, ids] = moved.clamp(self.tau_min, self.tau_max)

    def scalars(self) -> dict[str, float]:
        """Mean temperature of the samples seen, and the share of them at the lower bound."""
        if not self.seen.any():
            return {}
        found: dict[str, float] = {}
        for modality, tau in zip("xy", self.temperature[:, self.seen], strict=True):
            found[f"tau_{modality}"] = tau.mean().item()
            found[f"tau_{modality}_at_min"] = (tau <= self.tau_min).double().mean().item()
        return found

    def _average(self, log_mean: Tensor, ids: Tensor) -> Tensor:
        """log((1 - gamma) u + gamma g); a sample's first batch gives g itself."""
        if self.decay == 1:
            return log_mean
        old = self.log_mean[:, ids] + math.log1p(-self.decay)
        mixed = torch.logaddexp(old, log_mean + math.log(self.decay))
        return torch.where(self.seen[ids], mixed, log_mean)

    def _check_ids(self, ids: Tensor, n: int) -> Tensor:
        count = len(self.seen)
        if ids.shape != (n,) or n < 2:
            raise ValueError(
                f"individual temperatures need at least two pairs and one id a pair, got {n} pairs "
                f"and ids {tuple(ids.shape)}"
            )
        low, high = int(ids.min()), int(ids.max())
        if low < 0 or high >= count:
            raise ValueError(f"ids must lie in 0..{count - 1}, the samples, got {low}..{high}")
        if len(ids.unique()) != n:
            raise ValueError("ids repeat: a sample may be in a batch once, as its own only partner")
        return ids.to(self.seen.device)


def _scores(
    start: int, x: Tensor, geometry: Geometry, y: Tensor
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Scores of a band of rows, and where in it the partners are."""
    own = torch.arange(len(x), device=x.device)
    return geometry.score(x, y).double(), (own, own + start)


def _sums(
    start: int, x: Tensor, geometry: Geometry, y: Tensor, tau: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Of a band: log sum and mean exponent of its rows, the same of all columns before the
    partners' scores are taken off (`_join` does it), and the partners' scores.
    """
    scores, partners = _scores(start, x, geometry, y)
    pair = scores[partners]
    rows = (scores - pair[:, None]) / tau[0, start : start + len(x), None]
    columns = scores / tau[1]
    infinite, zero = scores.new_tensor(-torch.inf), scores.new_zeros(())
    row = rows.index_put(partners, infinite).logsumexp(1)
    column = columns.index_put(partners, infinite).logsumexp(0)
    row_mean = ((rows - row[:, None]).exp().index_put(partners, zero) * rows).sum(1)
    column_mean = ((columns - column).exp().index_put(partners, zero) * columns).sum(0)
    return row, row_mean, column, column_mean, pair


def _join(logs: Tensor, means: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """Log sums and mean exponents of columns from those of the bands (bands, n); own is the
    partners' exponent."""
    total = logs.logsumexp(0)
    return total - own, ((logs - total).exp() * means).sum(0) - own


def _pull(
    start: int,
    x: Tensor,
    geometry: Geometry,
    y: Tensor,
    tau: Tensor,
    own: Tensor,
    average: Tensor,
    drawn: Tensor,
) -> tuple[Tensor]:
    """sum of p_ij h_ij + p'_ji h'_ji over a band, with the weights p = exp(h / tau) / u held."""
    scores, partners = _scores(start, x, geometry, y)
    rows = slice(start, start + len(x))
    with torch.no_grad():
        to_row = (scores - own[rows, None]) / tau[0, rows, None] - average[0, rows, None]
        to_column = (scores - own) / tau[1] - average[1]
        weight = (to_row.exp() + to_column.exp()).index_put(partners, scores.new_zeros(()))
    return ((weight * scores).sum() - (drawn[rows] * scores[partners]).sum(),)
