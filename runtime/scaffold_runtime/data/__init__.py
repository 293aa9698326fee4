"""Batches that repeat exactly, from any position; data sets, and their splits."""

from scaffold_runtime.data.augment import shift_at_random
from scaffold_runtime.data.datasets import InMemoryDataset
from scaffold_runtime.data.downloads import cache_folder
from scaffold_runtime.data.fingerprint import Fingerprint
from scaffold_runtime.data.image_files import read_drawing, read_picture
from scaffold_runtime.data.image_sets import ImageSet, read_image_set
from scaffold_runtime.data.loader import Loader
from scaffold_runtime.data.splits import choose_fold, class_weights, split_samples
from scaffold_runtime.data.streams import Streams
from scaffold_runtime.data.tables import TableSet, read_rows, read_table_set

__all__ = [
    "Fingerprint",
    "ImageSet",
    "InMemoryDataset",
    "Loader",
    "Streams",
    "TableSet",
    "cache_folder",
    "choose_fold",
    "class_weights",
    "read_drawing",
    "read_image_set",
    "read_picture",
    "read_rows",
    "read_table_set",
    "shift_at_random",
    "split_samples",
]
