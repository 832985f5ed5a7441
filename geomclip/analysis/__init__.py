"""What a space of embeddings looks like: one question, one file, one frozen result.

geomclip.analysis.root_distances(embeddings).gap
geomclip.analysis.analyze(embeddings).to_dict()
"""

from geomclip.analysis.ann import FaissIndex, faiss_index
from geomclip.analysis.axes import Spectrum, spectrum
from geomclip.analysis.entailment import Cones, cones
from geomclip.analysis.gap import ModalityGap, modality_gap
from geomclip.analysis.hubs import Hubness, hubness
from geomclip.analysis.neighbors import nearest
from geomclip.analysis.recalls import Retrieval, retrieval
from geomclip.analysis.result import Result, Row
from geomclip.analysis.roots import RootDistances, root_distances
from geomclip.analysis.space import Space
from geomclip.analysis.table import ANALYSES, Analysis, Report, analyze
from geomclip.analysis.uniformity import Alignment, alignment

__all__ = [
    "ANALYSES",
    "Alignment",
    "Analysis",
    "Cones",
    "FaissIndex",
    "Hubness",
    "ModalityGap",
    "Report",
    "Result",
    "Retrieval",
    "RootDistances",
    "Row",
    "Space",
    "Spectrum",
    "alignment",
    "analyze",
    "cones",
    "faiss_index",
    "hubness",
    "modality_gap",
    "nearest",
    "retrieval",
    "root_distances",
    "spectrum",
]
