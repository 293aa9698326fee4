"""Things that act on a run from outside its step."""

from scaffold_runtime.handlers.early_stopping import EarlyStopping
from scaffold_runtime.handlers.ema import EMA
from scaffold_runtime.handlers.lr_scheduler import LRScheduler
from scaffold_runtime.handlers.progress_bar import ProgressBar
from scaffold_runtime.handlers.terminate_on_nan import TerminateOnNan

__all__ = ["EMA", "EarlyStopping", "LRScheduler", "ProgressBar", "TerminateOnNan"]
