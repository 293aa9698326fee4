"""
The runtime under every Scaffold project: engine, events, state, metrics, checkpoints.

The names are those of PyTorch-Ignite, whose documentation explains them.
"""

from scaffold_runtime.best_checkpoint import BestCheckpoint, restore_best
from scaffold_runtime.checkpoint import Checkpoint, load_parts, read_checkpoint, write_checkpoint
from scaffold_runtime.data import InMemoryDataset, Loader
from scaffold_runtime.device import choose_device
from scaffold_runtime.engine import Engine
from scaffold_runtime.errors import CheckpointError, NothingSavedError, UserError
from scaffold_runtime.events import EventEnum, Events, EventsList
from scaffold_runtime.handlers import (
    EMA,
    DeviceStats,
    EarlyStopping,
    LRFinder,
    LRScheduler,
    ModelSummary,
    Profiler,
    ProgressBar,
    TerminateOnNan,
    TimeLimit,
    Timer,
)
from scaffold_runtime.intervals import Interval, parse_duration, parse_interval
from scaffold_runtime.listeners import RemovableEventHandle
from scaffold_runtime.loggers import (
    CsvLogger,
    JsonLinesLogger,
    Logger,
    Loggers,
    MLflowLogger,
    TensorboardLogger,
    WandBLogger,
    read_json_lines,
)
from scaffold_runtime.metrics import (
    Accuracy,
    BatchWise,
    EpochWise,
    Loss,
    Metric,
    MetricUsage,
    NotComputableError,
    RunningAverage,
    RunningBatchWise,
    RunningEpochWise,
    SingleEpochRunningBatchWise,
)
from scaffold_runtime.report import report_classification, write_report
from scaffold_runtime.run_folder import Run, start_run
from scaffold_runtime.schedules import cosine_with_warm_up
from scaffold_runtime.seeding import derive_seed, random_state, seed_everything, set_random_state
from scaffold_runtime.settings import launch, parse_settings, plain_settings
from scaffold_runtime.state import State
from scaffold_runtime.trainers import (
    create_supervised_evaluator,
    create_supervised_trainer,
    prepare_batch,
    to_device,
)
from scaffold_runtime.updates import Updater

__version__ = "0.1.0"

__all__ = [
    "EMA",
    "Accuracy",
    "BatchWise",
    "BestCheckpoint",
    "Checkpoint",
    "CheckpointError",
    "CsvLogger",
    "DeviceStats",
    "EarlyStopping",
    "Engine",
    "EpochWise",
    "EventEnum",
    "Events",
    "EventsList",
    "InMemoryDataset",
    "Interval",
    "JsonLinesLogger",
    "LRFinder",
    "LRScheduler",
    "Loader",
    "Logger",
    "Loggers",
    "Loss",
    "MLflowLogger",
    "Metric",
    "MetricUsage",
    "ModelSummary",
    "NotComputableError",
    "NothingSavedError",
    "Profiler",
    "ProgressBar",
    "RemovableEventHandle",
    "Run",
    "RunningAverage",
    "RunningBatchWise",
    "RunningEpochWise",
    "SingleEpochRunningBatchWise",
    "State",
    "TensorboardLogger",
    "TerminateOnNan",
    "TimeLimit",
    "Timer",
    "Updater",
    "UserError",
    "WandBLogger",
    "choose_device",
    "cosine_with_warm_up",
    "create_supervised_evaluator",
    "create_supervised_trainer",
    "derive_seed",
    "launch",
    "load_parts",
    "parse_duration",
    "parse_interval",
    "parse_settings",
    "plain_settings",
    "prepare_batch",
    "random_state",
    "read_checkpoint",
    "read_json_lines",
    "report_classification",
    "restore_best",
    "seed_everything",
    "set_random_state",
    "start_run",
    "to_device",
    "write_checkpoint",
    "write_report",
]
