"""Settings with which a run takes seconds, for the tests."""

import argparse

SMALL = {
    "text": (argparse.__file__,),
    "hidden": 16,
    "max_epochs": 4,
    "batch_windows": 4,
    "limit_train_batches": 8,
}
