"""Where the numbers of a run are written."""

from scaffold_runtime.loggers.base import Logger, Loggers
from scaffold_runtime.loggers.csv_file import CsvLogger
from scaffold_runtime.loggers.json_lines import JsonLinesLogger, read_json_lines
from scaffold_runtime.loggers.mlflow import MLflowLogger
from scaffold_runtime.loggers.tensorboard import TensorboardLogger
from scaffold_runtime.loggers.wandb import WandBLogger

__all__ = [
    "CsvLogger",
    "JsonLinesLogger",
    "Logger",
    "Loggers",
    "MLflowLogger",
    "TensorboardLogger",
    "WandBLogger",
    "read_json_lines",
]
