"""Things that act on a run from outside its step."""

from scaffold_runtime.handlers.device_stats import DeviceStats
from scaffold_runtime.handlers.early_stopping import EarlyStopping
from scaffold_runtime.handlers.ema import EMA
from scaffold_runtime.handlers.lr_finder import LRFinder
from scaffold_runtime.handlers.lr_scheduler import LRScheduler
from scaffold_runtime.handlers.model_summary import ModelSummary
from scaffold_runtime.handlers.profiler import Profiler
from scaffold_runtime.handlers.progress_bar import ProgressBar
from scaffold_runtime.handlers.signals import SaveOnSignal
from scaffold_runtime.handlers.terminate_on_nan import TerminateOnNan
from scaffold_runtime.handlers.time_limit import TimeLimit
from scaffold_runtime.handlers.timer import Timer

__all__ = [
    "EMA",
    "DeviceStats",
    "EarlyStopping",
    "LRFinder",
    "LRScheduler",
    "ModelSummary",
    "Profiler",
    "ProgressBar",
    "SaveOnSignal",
    "TerminateOnNan",
    "TimeLimit",
    "Timer",
]
