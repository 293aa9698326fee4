"""Settings with which a run takes seconds, for the tests."""

SMALL = {
    "width": 8,
    "max_epochs": 3,
    "limit_train_batches": 4,
    "lr_g": 1e-4,  # So slow a generator lets the discriminator win, and its loss falls.
    "validate_every": 2,
    "classifier_steps": 30,
}
