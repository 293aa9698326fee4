"""Batches that repeat exactly, from any position; data sets, and their splits."""

from scaffold_runtime.data.datasets import InMemoryDataset
from scaffold_runtime.data.downloads import cache_folder
from scaffold_runtime.data.image_sets import ImageSet, read_image_set
from scaffold_runtime.data.loader import Loader
from scaffold_runtime.data.splits import choose_fold, split_samples
from scaffold_runtime.data.streams import Streams

__all__ = [
    "ImageSet",
    "InMemoryDataset",
    "Loader",
    "Streams",
    "cache_folder",
    "choose_fold",
    "read_image_set",
    "split_samples",
]
