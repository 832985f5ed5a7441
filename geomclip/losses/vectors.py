"""Features of several modalities as unit vectors, for the losses that are defined on those."""

from collections.abc import Sequence

import torch
from torch import Tensor

from manifolds.arguments import check_tensor


def unit_vectors(features: Sequence[Tensor], what: str, *, least: int) -> list[Tensor]:
    """Each of `features` (n, d) with rows of length 1, in float64.

    Raises:
        ValueError: fewer than `least` modalities, other shapes, dtypes or devices than the first's,
            no rows, or a zero vector.
    """
    if len(features) < least:
        raise ValueError(f"{what} needs at least {least} modalities, got {len(features)}")
    for number, feature in enumerate(features):
        check_tensor(what, f"number {number}", feature, "(n, d)")
    first = features[0]
    for number, feature in enumerate(features):
        if feature.shape != first.shape or feature.ndim != 2 or not feature.numel():
            raise ValueError(
                f"{what}: every modality gives (n, d), n and d at least 1 and the same for all; "
                f"number 0 is {tuple(first.shape)}, number {number} {tuple(feature.shape)}"
            )
        if not feature.is_floating_point() or feature.device != first.device:
            raise ValueError(
                f"{what}: number {number} is {feature.dtype} on {feature.device}; bring floating "
                f"point features to {first.device}"
            )
    units = []
    for number, feature in enumerate(features):
        wide = feature.double()
        largest = wide.detach().abs().amax(1, keepdim=True)
        zeros = int((largest == 0).sum())
        if zeros:
            raise ValueError(
                f"{what}: {zeros} of {len(wide)} features of modality {number} are zero and have "
                "no direction; look for dead units or empty input in its encoder"
            )
        # Squares of small features would underflow.
        wide = wide / largest
        units.append(wide / torch.linalg.vector_norm(wide, dim=1, keepdim=True))
    return units
