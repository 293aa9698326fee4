"""Settings with which a run takes seconds, for the tests."""

import argparse

SMALL = {
    "text": (argparse.__file__,),
    "hidden": 16,
    "max_epochs": 4,
    "batch_windows": 4,
    "limit_train_batches": 8,
}
LEARNED = 0.25  # One batch, over and over: what is left of the first loss.
