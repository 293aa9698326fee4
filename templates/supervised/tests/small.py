"""Settings with which a run takes seconds, and what test_runs.py expects of it."""

SMALL = {"width": 8, "max_epochs": 3}
LEARNS = {"loss": 0.85}  # The share of its first value that the validation loss falls to.
BY_HEART = {"max_epochs": 80, "lr": 0.02, "dropout": 0.0}  # Settings to learn one batch by heart.
KNOWN = {"loss": 0.05}  # What the loss of that batch then falls to.
