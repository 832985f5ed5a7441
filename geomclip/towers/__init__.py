"""Encoders: CLIP's two transformers, from tiny to L/14, and a small residual network."""

from geomclip.towers.convnet import ConvNet
from geomclip.towers.text import TextTransformer
from geomclip.towers.vit import VisionTransformer

__all__ = ["ConvNet", "TextTransformer", "VisionTransformer"]
