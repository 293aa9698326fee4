"""The modes: who learns in which epoch, and which settings are for which of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from scaffold_runtime.settings import refuse_unused

if TYPE_CHECKING:
    from train import Settings

# Both learn, the student from the teacher; the teacher before the student; each from the
# other, as equals; the student with its labels alone.
Mode = Literal["together", "frozen", "mutual", "alone"]

ONLY_WITH: dict[str, tuple[str, tuple[Mode, ...]]] = {
    "temperature": ("mode", ("together", "frozen")),
    "peer_temperature": ("mode", ("mutual",)),
    "soft_weight": ("mode", ("together", "frozen", "mutual")),
    "teacher_width": ("mode", ("together", "frozen")),
    "teacher_epochs": ("mode", ("frozen",)),
    "teacher_lr": ("mode", ("together", "frozen")),
    "teacher_schedule": ("mode", ("together", "frozen")),
    "teacher_warm_up": ("mode", ("together", "frozen")),
}


def check_settings(settings: Settings) -> None:
    """Refuse what would have no effect in the mode; a run that goes on keeps what it has."""
    if not settings.resume and not settings.evaluate:
        refuse_unused(settings, ONLY_WITH)


def is_used(name: str, mode: Mode) -> bool:
    """Say whether a setting has an effect in a mode."""
    return name not in ONLY_WITH or mode in ONLY_WITH[name][1]


def learners(settings: Settings, epoch: int) -> list[str]:
    """Return the names of the models that learn in an epoch, counted from 1."""
    if settings.mode == "frozen":
        return ["teacher"] if epoch <= settings.teacher_epochs else ["student"]
    return ["student"] if settings.mode == "alone" else ["student", "teacher"]


def all_epochs(settings: Settings) -> int:
    """Return the epochs of a run: the student's, and those a teacher learns in before."""
    return settings.max_epochs + (settings.teacher_epochs if settings.mode == "frozen" else 0)
