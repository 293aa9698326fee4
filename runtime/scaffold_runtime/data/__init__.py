"""Batches that repeat exactly, from any position."""

from scaffold_runtime.data.datasets import InMemoryDataset
from scaffold_runtime.data.loader import Loader

__all__ = ["InMemoryDataset", "Loader"]
