"""Known accelerators, and how long work of so many FLOPs takes on them. Loads no torch.

Peaks are the makers' data sheets': dense (no sparsity) matrix products with float32 sums, the SXM
or OAM form where there are several; float32 without TF32, which training leaves off.
"""

import re
from dataclasses import dataclass

from geomclip.errors import RequestError

# Share of the peak that towers are taken to reach where nobody says another: an assumption. Small
# ones (ViT-B/32), float32 and slow data reach less, large ones (ViT-L) more.
UTILISATION = 0.3

# Share of the memory that a step may fill: allocators leave gaps, and libraries have buffers.
USABLE = 0.9


@dataclass(frozen=True)
class Accelerator:
    """One device."""

    bf16: float
    """Peak, FLOP/s."""
    float32: float
    """Peak, FLOP/s."""
    memory: int
    """Bytes."""


def _row(bf16: float | int, float32: float | int, gib: int) -> Accelerator:
    return Accelerator(bf16 * 1e12, float32 * 1e12, gib << 30)


ACCELERATORS: dict[str, Accelerator] = {
    "a10": _row(125, 31.2, 24),
    "a100-40gb": _row(312, 19.5, 40),
    "a100": _row(312, 19.5, 80),
    "b200": _row(2250, 75, 180),
    "h100": _row(989, 67, 80),
    "h200": _row(989, 67, 141),
    "l4": _row(121, 30.3, 24),
    "l40s": _row(362, 91.6, 48),
    "mi300x": _row(1307, 163.4, 192),
    "rtx3090": _row(71, 35.6, 24),
    "rtx4090": _row(165, 82.6, 24),
}


@dataclass(frozen=True)
class Hardware:
    """So many of one accelerator."""

    name: str
    count: int

    @property
    def device(self) -> Accelerator:
        """One of them."""
        return ACCELERATORS[self.name]

    def __str__(self) -> str:
        return f"{self.name}x{self.count}"

    def seconds(self, flops: int, precision: str, utilisation: float) -> float:
        """Wall seconds of so many FLOPs, shared equally, at a share of the peak."""
        return flops / (self.count * self.peak(precision) * utilisation)

    def peak(self, precision: str) -> float:
        """Peak FLOP/s of one device in `bf16` or `float32`."""
        return self.device.bf16 if precision == "bf16" else self.device.float32


def parse_hardware(text: str) -> Hardware:
    """NAME or NAMExCOUNT.

    >>> parse_hardware("h100x8"), parse_hardware("a100-40gb")
    (Hardware(name='h100', count=8), Hardware(name='a100-40gb', count=1))

    Raises RequestError that lists the names.
    """
    match = re.fullmatch(r"(.+?)(?:x([1-9]\d*))?", text.strip().lower())
    if match is None or match[1] not in ACCELERATORS:
        raise RequestError(
            f'hardware: "{text}" is not known',
            f"NAME or NAMExCOUNT, such as h100x8; names: {', '.join(ACCELERATORS)}.",
        )
    return Hardware(match[1], int(match[2] or 1))
