"""Settings with which a run takes seconds, for the tests."""

SMALL = {"student_width": 16, "teacher_width": 4, "max_epochs": 3}
