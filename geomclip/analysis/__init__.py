"""What a space of embeddings looks like: one question, one file."""

from geomclip.analysis.ann import FaissIndex, faiss_index
from geomclip.analysis.neighbors import nearest

__all__ = ["FaissIndex", "faiss_index", "nearest"]
