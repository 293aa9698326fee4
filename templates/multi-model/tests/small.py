"""Settings with which a run takes seconds, for the tests."""

SMALL = {"student_width": 16, "teacher_width": 4, "max_epochs": 3}
LEARNED = 0.35  # One batch, over and over: what is left of the first loss.
