"""A run's `config.yaml` of an earlier release means what it meant."""

from __future__ import annotations

from typing import Any

import pytest

from scaffold_runtime.earlier import in_todays_terms

GAN = {"noise_size", "ema", "beta2", "seed", "data_seed"}


@pytest.mark.parametrize(
    ("values", "known", "today"),
    [
        # tbptt of 0.4.0 called the limit of the gradients by another name.
        ({"clip": 0.5}, {"clip_norm"}, {"clip_norm": 0.5}),
        # gan of 0.4.0 gave an average this share of the newest weights; one seed decided all.
        (
            {"noise_size": 32, "ema": 0.25, "seed": 3},
            GAN,
            {"noise_size": 32, "ema": 0.75, "seed": 3, "data_seed": 3},
        ),
        # From 0.5.0 on it is what the average keeps of itself.
        (
            {"noise_size": 32, "ema": 0.25, "beta2": 0.999, "seed": 3},
            GAN,
            {"noise_size": 32, "ema": 0.25, "beta2": 0.999, "seed": 3, "data_seed": 3},
        ),
        # From 0.6.0 on the data has a seed of its own.
        (
            {"noise_size": 32, "ema": 0.99, "beta2": -1, "seed": 3, "data_seed": 0},
            GAN,
            {"noise_size": 32, "ema": 0.99, "beta2": -1, "seed": 3, "data_seed": 0},
        ),
        ({"ema": 0.25}, {"ema"}, {"ema": 0.25}),  # Of another template.
    ],
)
def test_settings_keep_their_meaning(
    values: dict[str, Any], known: set[str], today: dict[str, Any]
) -> None:
    """They are read under the names, and with the values, that they have now."""
    assert in_todays_terms(values, known) == today
