"""The state of a run on disk: written whole, verified when read."""

from scaffold_runtime.checkpoints.archive import read_checkpoint, write_checkpoint
from scaffold_runtime.checkpoints.best_checkpoint import BestCheckpoint, restore_best
from scaffold_runtime.checkpoints.checkpoint import Checkpoint
from scaffold_runtime.checkpoints.parts import load_parts

__all__ = [
    "BestCheckpoint",
    "Checkpoint",
    "load_parts",
    "read_checkpoint",
    "restore_best",
    "write_checkpoint",
]
