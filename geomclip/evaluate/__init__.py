"""Retrieval, zero-shot classification, order of root distances, cones; one question a file."""

from geomclip.evaluate.cones import ConeStatistics, cone_statistics, roc_auc
from geomclip.evaluate.features import TextPoints, image_points, text_points
from geomclip.evaluate.hierarchy import kendall_tau_b, root_tau
from geomclip.evaluate.pixels import nearest_pictures
from geomclip.evaluate.result import Evaluation, Metric, Reference, SplitEvaluation
from geomclip.evaluate.retrieval import Retrieved, rank_of_best, retrieve
from geomclip.evaluate.suite import evaluate, pixel_reference, training_split
from geomclip.evaluate.zeroshot import ZeroShot, zero_shot

__all__ = [
    "ConeStatistics",
    "Evaluation",
    "Metric",
    "Reference",
    "Retrieved",
    "SplitEvaluation",
    "TextPoints",
    "ZeroShot",
    "cone_statistics",
    "evaluate",
    "image_points",
    "kendall_tau_b",
    "nearest_pictures",
    "pixel_reference",
    "rank_of_best",
    "retrieve",
    "roc_auc",
    "root_tau",
    "text_points",
    "training_split",
    "zero_shot",
]
