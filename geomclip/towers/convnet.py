"""A small residual network with BatchNorm: the image tower that learns most per CPU second.

One residual block a stage (He et al. 2016), half the side and twice the channels from stage to
stage, mean and max pooling side by side.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from geomclip.towers.statistics import recomputed


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut; the first and the shortcut have the stride."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        # The residual branch starts at zero, so that a fresh network is its shortcuts.
        nn.init.zeros_(self.bn2.weight)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity(),
                nn.Conv2d(before, after, 1, bias=False),
                nn.BatchNorm2d(after),
            )

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k i j"]:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ConvNet(nn.Module):
    """Pixels (n, 3, s, s) to raw projected features (n, d).

    Args:
        width: channels of the first stage; doubled at each further stage.
        layers: stages; each halves the side, the stem before them halves it too.
        final_layernorm: LayerNorm between pooling and projection, as the transformers have it.

    With `checkpointing` set, the backward pass computes each stage anew from its input.
    """

    def __init__(
        self, *, width: int, layers: int, embed_dim: int, final_layernorm: bool = True
    ) -> None:
        super().__init__()
        self.checkpointing = False
        self.stem = nn.Conv2d(3, width, 3, stride=2, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        widths = [width << i for i in range(layers)]
        self.stages = nn.Sequential(
            *(
                ResidualBlock(widths[max(i - 1, 0)], w, stride=1 if i == 0 else 2)
                for i, w in enumerate(widths)
            )
        )
        pooled = 2 * widths[-1]
        self.ln_post = nn.LayerNorm(pooled) if final_layernorm else nn.Identity()
        self.proj = nn.Parameter(pooled**-0.5 * torch.randn(pooled, embed_dim))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        # oneDNN's CPU convolutions are fastest on channels-last tensors.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, pixels: Float[Tensor, "n 3 s s"]) -> Float[Tensor, "n d"]:
        x = pixels.contiguous(memory_format=torch.channels_last)
        x = F.relu(self.bn(self.stem(x)))
        for stage in self.stages:
            x = recomputed(stage, x) if self.checkpointing else stage(x)
        pooled = torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)
        return self.ln_post(pooled) @ self.proj
