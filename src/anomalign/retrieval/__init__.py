"""Stage 1: the K nearest normal images of an image."""

from anomalign.retrieval.exact import ExactIndex, Neighbours
from anomalign.retrieval.index_choice import IndexMeasure, compare_indices, recommend
from anomalign.retrieval.indices import INDEX_KINDS, Index, IndexKind, make_index
from anomalign.retrieval.search import DESCRIPTORS, Descriptor, ImageSearch

__all__ = [
    "DESCRIPTORS",
    "INDEX_KINDS",
    "Descriptor",
    "ExactIndex",
    "ImageSearch",
    "Index",
    "IndexKind",
    "IndexMeasure",
    "Neighbours",
    "compare_indices",
    "make_index",
    "recommend",
]
