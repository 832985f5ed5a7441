"""Encoders: CLIP's two transformers, a small residual network, a table of points."""

from geomclip.towers.convnet import ConvNet
from geomclip.towers.table import PointTable
from geomclip.towers.text import TextTransformer
from geomclip.towers.tree_points import tree_points
from geomclip.towers.vit import VisionTransformer

__all__ = ["ConvNet", "PointTable", "TextTransformer", "VisionTransformer", "tree_points"]
