"""
Answers that have another name or meaning since some release.

A question that is new takes its default, and one that is gone is dropped: neither
needs an entry here. An update applies what lies between two versions, oldest first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from scaffold.archive import order

# By the version that brought it: the new name of a question, by its old one.
RENAMED: dict[str, dict[str, str]] = {}
# By the version that brought it: what makes the answers to it of those before; has a test.
CHANGED: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {}


def migrate(answers: Mapping[str, Any], old: str, new: str) -> dict[str, Any]:
    """Bring the answers of one version to another; to an earlier one, names alone go back."""
    migrated = dict(answers)
    if order(new) < order(old):
        for version in sorted(_between(new, old), key=order, reverse=True):
            back = {now: before for before, now in RENAMED.get(version, {}).items()}
            migrated = {back.get(name, name): value for name, value in migrated.items()}
        return migrated
    for version in sorted(_between(old, new), key=order):
        names = RENAMED.get(version, {})
        migrated = {names.get(name, name): value for name, value in migrated.items()}
        if version in CHANGED:
            migrated = CHANGED[version](migrated)
    return migrated


def _between(old: str, new: str) -> set[str]:
    return {v for v in RENAMED.keys() | CHANGED if order(old) < order(v) <= order(new)}
