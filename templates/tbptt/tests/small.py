"""Settings with which a run takes seconds, and what test_runs.py expects of it."""

import argparse

SMALL = {
    "text": (argparse.__file__,),
    "hidden": 16,
    "max_epochs": 4,
    "batch_windows": 4,
    "limit_train_batches": 8,
    "limit_valid_batches": 8,
}
LEARNS = {"bits": 0.85}  # The share of its first value that the validation's falls to.
BY_HEART = {"max_epochs": 60, "lr": 0.02}  # Settings to learn one batch by heart.
KNOWN = {"bits": 1.2}  # What the bits of that batch then fall to.
