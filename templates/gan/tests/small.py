"""Settings with which a run takes seconds, for the tests."""

SMALL = {
    "width": 8,
    "max_epochs": 3,
    "limit_train_batches": 6,
    "validate_every": 1,
    "classifier_steps": 30,
}
