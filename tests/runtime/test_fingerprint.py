"""Which data a model was trained on."""

from __future__ import annotations

import hashlib

import pytest
import torch

from scaffold_runtime import Fingerprint, UserError


@pytest.mark.parametrize("changed", [(b"texts", [1]), (b"text", [2]), (b"text",)])
def test_changed_data_is_refused(changed: tuple[object, ...]) -> None:
    """In the words that were given, whichever of the facts has changed."""
    saved = Fingerprint(b"text", [1]).state_dict()

    with pytest.raises(UserError, match=r"^use the Python it was started with$"):
        Fingerprint(*changed, message="use the Python it was started with").load_state_dict(saved)
    Fingerprint(b"text", [1]).load_state_dict(saved)


def test_one_of_nothing_takes_up_what_was_saved() -> None:
    """A program that uses a model needs no data; once it has read which it was, that holds."""
    one, other = Fingerprint(torch.ones(2)).state_dict(), Fingerprint(torch.zeros(2)).state_dict()
    here = Fingerprint()

    here.load_state_dict(one)

    assert here.state_dict() == one
    with pytest.raises(UserError, match="the data has changed"):
        here.load_state_dict(other)


def test_bytes_have_the_checksum_of_their_file() -> None:
    """As `sha256sum` says it; and in several parts that of the whole, as earlier releases saved."""
    expected = hashlib.sha256(b"some text").hexdigest()

    assert Fingerprint(b"some text").sha256 == Fingerprint(b"some ", b"text").sha256 == expected
