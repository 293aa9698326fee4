"""Where the numbers of a run are written."""

from scaffold_runtime.loggers.json_lines import JsonLinesLogger, read_json_lines

__all__ = ["JsonLinesLogger", "read_json_lines"]
