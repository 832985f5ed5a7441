"""What a space of embeddings looks like: one question, one file, one frozen result.

geomclip.analysis.root_distances(embeddings).gap
geomclip.analysis.analyze(embeddings).to_dict()
"""

from geomclip.analysis.ann import FaissIndex, faiss_index
from geomclip.analysis.axes import Spectrum, spectrum
from geomclip.analysis.cka import debiased_cka
from geomclip.analysis.collapse import NeuralCollapse, neural_collapse
from geomclip.analysis.comparison import SpaceComparison, compare_spaces
from geomclip.analysis.distortion import TreeDistortion, tree_distortion
from geomclip.analysis.entailment import Cones, cones
from geomclip.analysis.gap import ModalityGap, modality_gap
from geomclip.analysis.hubs import Hubness, hubness
from geomclip.analysis.neighbors import nearest
from geomclip.analysis.operating import ThresholdConsistency, threshold_consistency
from geomclip.analysis.recalls import Retrieval, retrieval
from geomclip.analysis.result import Result, Row
from geomclip.analysis.roots import RootDistances, root_distances
from geomclip.analysis.space import Space
from geomclip.analysis.steps import Analogies, analogies
from geomclip.analysis.table import ANALYSES, Analysis, Report, analyze
from geomclip.analysis.treelike import DeltaHyperbolicity, delta_hyperbolicity
from geomclip.analysis.uniformity import Alignment, alignment

__all__ = [
    "ANALYSES",
    "Alignment",
    "Analogies",
    "Analysis",
    "Cones",
    "DeltaHyperbolicity",
    "FaissIndex",
    "Hubness",
    "ModalityGap",
    "NeuralCollapse",
    "Report",
    "Result",
    "Retrieval",
    "RootDistances",
    "Row",
    "Space",
    "SpaceComparison",
    "Spectrum",
    "ThresholdConsistency",
    "TreeDistortion",
    "alignment",
    "analogies",
    "analyze",
    "compare_spaces",
    "cones",
    "debiased_cka",
    "delta_hyperbolicity",
    "faiss_index",
    "hubness",
    "modality_gap",
    "nearest",
    "neural_collapse",
    "retrieval",
    "root_distances",
    "spectrum",
    "threshold_consistency",
    "tree_distortion",
]
