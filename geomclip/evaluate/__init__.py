"""Retrieval, zero-shot classification, hierarchy, cones; one question a file."""

from geomclip.evaluate.ancestry import ancestor_retrieval, entailment_auc
from geomclip.evaluate.classification import Classification
from geomclip.evaluate.clusters import centroids, cluster
from geomclip.evaluate.cones import ConeStatistics, cone_statistics, roc_auc
from geomclip.evaluate.depth import depth_order
from geomclip.evaluate.features import TextPoints, image_points, text_points
from geomclip.evaluate.hierarcaps import hierarcaps, hierarcaps_of, read_hierarcaps
from geomclip.evaluate.hierarchy import kendall_tau_b, root_tau
from geomclip.evaluate.knn import NearestNeighbours, knn
from geomclip.evaluate.label_tree import TreeEvaluation, evaluate_label_tree, evaluate_tree
from geomclip.evaluate.pixels import nearest_pictures
from geomclip.evaluate.probe import Labelled, LinearProbe, linear_probe
from geomclip.evaluate.reconstruction import Reconstruction, reconstruct
from geomclip.evaluate.result import Evaluation, Metric, Reference, SplitEvaluation
from geomclip.evaluate.retrieval import Retrieved, rank_of_best, retrieve
from geomclip.evaluate.suite import evaluate, pixel_reference, training_split
from geomclip.evaluate.taxonomy import taxonomic_errors
from geomclip.evaluate.tested import Tested
from geomclip.evaluate.threshold import Threshold, best_threshold, f1_score
from geomclip.evaluate.zeroshot import zero_shot

__all__ = [
    "Classification",
    "ConeStatistics",
    "Evaluation",
    "Labelled",
    "LinearProbe",
    "Metric",
    "NearestNeighbours",
    "Reconstruction",
    "Reference",
    "Retrieved",
    "SplitEvaluation",
    "Tested",
    "TextPoints",
    "Threshold",
    "TreeEvaluation",
    "ancestor_retrieval",
    "best_threshold",
    "centroids",
    "cluster",
    "cone_statistics",
    "depth_order",
    "entailment_auc",
    "evaluate",
    "evaluate_label_tree",
    "evaluate_tree",
    "f1_score",
    "hierarcaps",
    "hierarcaps_of",
    "image_points",
    "kendall_tau_b",
    "knn",
    "linear_probe",
    "nearest_pictures",
    "pixel_reference",
    "rank_of_best",
    "read_hierarcaps",
    "reconstruct",
    "retrieve",
    "roc_auc",
    "root_tau",
    "taxonomic_errors",
    "text_points",
    "training_split",
    "zero_shot",
]
