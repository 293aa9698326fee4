"""Settings with which a run takes seconds, for the tests."""

SMALL = {"width": 8, "max_epochs": 3}
