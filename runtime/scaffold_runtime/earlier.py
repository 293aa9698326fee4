"""What a run's `config.yaml` that an earlier release wrote means today."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any


def in_todays_terms(values: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """
    Return the settings of a run under the names, and with the meaning, that they have now.

    Args:
        values: What the file holds.
        known: The names of the settings that the program has.

    >>> in_todays_terms({"clip": 0.5}, {"clip_norm"})
    {'clip_norm': 0.5}
    """
    today = dict(values)
    if "clip" in today and "clip" not in known:  # tbptt of 0.4.0.
        today["clip_norm"] = today.pop("clip")
    if "noise_size" in today and "data_seed" in known:  # gan before 0.6.0.
        if "ema" in today and "beta2" not in today:  # 0.4.0: the share of the newest weights.
            today["ema"] = 1 - today["ema"]
        today.setdefault("data_seed", today.get("seed", 0))  # One seed decided both.
    return today
