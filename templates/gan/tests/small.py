"""Settings with which a run takes seconds, and what test_runs.py expects of it."""

SMALL = {
    "width": 8,
    "max_epochs": 3,
    "limit_train_batches": 12,
    "lr_g": 2e-3,
    "ema": 0.5,  # So few updates would be lost in a longer average.
    "validate_every": 2,
    "classifier_steps": 30,
}
LEARNS = {"frechet": 0.8}  # The share of its first value that the validation's falls to.
BY_HEART = {"max_epochs": 40, "lr_g": 1e-4}  # The discriminator learns one batch by heart.
KNOWN = {"loss_d": 0.1}  # What its loss then falls to.
