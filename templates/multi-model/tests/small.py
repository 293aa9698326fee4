"""Settings with which a run takes seconds, and what test_runs.py expects of it."""

SMALL = {"student_width": 16, "teacher_width": 4, "max_epochs": 3}
# The share of their first values that numbers of the validation fall to.
LEARNS = {"student_loss": 0.92, "teacher_loss": 0.92}
BY_HEART = {  # Settings to learn one batch by heart.
    "max_epochs": 100,
    "student_width": 32,
    "teacher_width": 8,
    "teacher_lr": 0.02,
    "max_shift": 0,
}
KNOWN = {"student_loss": 0.05, "teacher_loss": 0.2}  # What the losses of that batch then fall to.
