"""
The runtime under every Scaffold project: engine, events, state, metrics, checkpoints.

The names are those of PyTorch-Ignite, whose documentation explains them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # Otherwise a name is imported when it is asked for, see below.
    from scaffold_runtime.checkpoints import (
        BestCheckpoint,
        Checkpoint,
        load_parts,
        read_checkpoint,
        restore_best,
        write_checkpoint,
    )
    from scaffold_runtime.data import (
        Fingerprint,
        ImageSet,
        InMemoryDataset,
        Loader,
        Streams,
        TableSet,
        cache_folder,
        choose_fold,
        class_weights,
        read_image_set,
        read_table_set,
        split_samples,
    )
    from scaffold_runtime.device import choose_device, to_device
    from scaffold_runtime.engine import Engine
    from scaffold_runtime.errors import CheckpointError, NothingSavedError, Stopped, UserError
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
        SaveOnSignal,
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
        ROC_AUC,
        Accuracy,
        Average,
        AveragePrecision,
        BatchFiltered,
        BatchWise,
        BitsPerCharacter,
        ConfusionMatrix,
        DiceCoefficient,
        EpochMetric,
        EpochWise,
        FBeta,
        Fbeta,
        IoU,
        JaccardIndex,
        Loss,
        MeanAbsoluteError,
        MeanSquaredError,
        Metric,
        MetricsLambda,
        MetricUsage,
        NotComputableError,
        Perplexity,
        Precision,
        R2Score,
        Recall,
        RootMeanSquaredError,
        RunningAverage,
        RunningBatchWise,
        RunningEpochWise,
        SingleEpochRunningBatchWise,
        TopKAccuracy,
        TopKCategoricalAccuracy,
        attach_metric,
        cmAccuracy,
        cmPrecision,
        cmRecall,
        mIoU,
    )
    from scaffold_runtime.page import write_report
    from scaffold_runtime.program import launch
    from scaffold_runtime.ranges import Amount, Count, Share, Size
    from scaffold_runtime.report import report_classification, report_regression, report_run
    from scaffold_runtime.run import Run, start_run
    from scaffold_runtime.run_folder import find_run
    from scaffold_runtime.run_settings import RunSettings
    from scaffold_runtime.schedules import cosine_with_warm_up
    from scaffold_runtime.seeding import (
        derive_seed,
        random_state,
        seed_everything,
        set_random_state,
    )
    from scaffold_runtime.settings import parse_settings, plain_settings
    from scaffold_runtime.state import State
    from scaffold_runtime.tbptt import Tbptt_Events, create_supervised_tbptt_trainer
    from scaffold_runtime.trainers import (
        create_supervised_evaluator,
        create_supervised_trainer,
        prepare_batch,
    )
    from scaffold_runtime.updates import Updater

__version__ = "0.6.2"

__all__ = [
    "EMA",
    "ROC_AUC",
    "Accuracy",
    "Amount",
    "Average",
    "AveragePrecision",
    "BatchFiltered",
    "BatchWise",
    "BestCheckpoint",
    "BitsPerCharacter",
    "Checkpoint",
    "CheckpointError",
    "ConfusionMatrix",
    "Count",
    "CsvLogger",
    "DeviceStats",
    "DiceCoefficient",
    "EarlyStopping",
    "Engine",
    "EpochMetric",
    "EpochWise",
    "EventEnum",
    "Events",
    "EventsList",
    "FBeta",
    "Fbeta",
    "Fingerprint",
    "ImageSet",
    "InMemoryDataset",
    "Interval",
    "IoU",
    "JaccardIndex",
    "JsonLinesLogger",
    "LRFinder",
    "LRScheduler",
    "Loader",
    "Logger",
    "Loggers",
    "Loss",
    "MLflowLogger",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Metric",
    "MetricUsage",
    "MetricsLambda",
    "ModelSummary",
    "NotComputableError",
    "NothingSavedError",
    "Perplexity",
    "Precision",
    "Profiler",
    "ProgressBar",
    "R2Score",
    "Recall",
    "RemovableEventHandle",
    "RootMeanSquaredError",
    "Run",
    "RunSettings",
    "RunningAverage",
    "RunningBatchWise",
    "RunningEpochWise",
    "SaveOnSignal",
    "Share",
    "SingleEpochRunningBatchWise",
    "Size",
    "State",
    "Stopped",
    "Streams",
    "TableSet",
    "Tbptt_Events",
    "TensorboardLogger",
    "TerminateOnNan",
    "TimeLimit",
    "Timer",
    "TopKAccuracy",
    "TopKCategoricalAccuracy",
    "Updater",
    "UserError",
    "WandBLogger",
    "attach_metric",
    "cache_folder",
    "choose_device",
    "choose_fold",
    "class_weights",
    "cmAccuracy",
    "cmPrecision",
    "cmRecall",
    "cosine_with_warm_up",
    "create_supervised_evaluator",
    "create_supervised_tbptt_trainer",
    "create_supervised_trainer",
    "derive_seed",
    "find_run",
    "launch",
    "load_parts",
    "mIoU",
    "parse_duration",
    "parse_interval",
    "parse_settings",
    "plain_settings",
    "prepare_batch",
    "random_state",
    "read_checkpoint",
    "read_image_set",
    "read_json_lines",
    "read_table_set",
    "report_classification",
    "report_regression",
    "report_run",
    "restore_best",
    "seed_everything",
    "set_random_state",
    "split_samples",
    "start_run",
    "to_device",
    "write_checkpoint",
    "write_report",
]


_HOMES = (
    "engine",
    "events",
    "metrics",
    "handlers",
    "checkpoints",
    "data",
    "device",
    "errors",
    "intervals",
    "page",
    "program",
    "listeners",
    "loggers",
    "ranges",
    "report",
    "run",
    "run_folder",
    "run_settings",
    "schedules",
    "seeding",
    "settings",
    "state",
    "tbptt",
    "trainers",
    "updates",
)


def __getattr__(name: str) -> Any:
    """Import a public name from its module, the first time it is asked for."""
    if name in __all__:
        for home in _HOMES:
            module = import_module(f"scaffold_runtime.{home}")
            if hasattr(module, name):
                globals()[name] = getattr(module, name)
                return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
