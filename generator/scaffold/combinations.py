"""The answers that a folder of templates is checked with: every combination there is."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from scaffold import questions, render
from scaffold.errors import ScaffoldError
from scaffold.releases import Release

# Whatever could end a literal, a line or a template; and what a name may be at worst.
_HOSTILE = ("""It's "{{ 7 * 7 }}" {% if %} {# \\ #} $(x) `x` <b> é""", "It_s.A-9")


@dataclass(frozen=True)
class Combination:
    """Answers to what can be chosen, and perhaps texts that are hard to quote."""

    label: str
    given: dict[str, Any]
    plain: bool  # The texts are the defaults.


def of(release: Release, template: str) -> Iterator[Combination]:
    """Give all answers that there are to choose from, with plain texts and with hostile ones."""
    asked = render.questions(release)
    options = {question: _options(about) for question, about in asked.items()}
    options = {question: values for question, values in options.items() if values}
    texts = [q for q, about in asked.items() if about["type"] == "str" and q not in options]
    hostile = {q: text for q in texts if (text := _usable(release, template, q)) is not None}
    for values in itertools.product(*options.values()):
        chosen = dict(zip(options, values, strict=True))
        label = [f"{question}={questions.shown(value)}" for question, value in chosen.items()]
        yield Combination(" ".join([*label, "plain texts"]), chosen, True)
        if hostile:
            yield Combination(" ".join([*label, "hostile texts"]), chosen | hostile, False)


def _options(about: dict[str, Any]) -> list[Any]:
    """Return the answers to choose from; none for a text, or where only a render knows them."""
    choices = questions.choices(about)
    return [True, False] if about["type"] == "bool" and choices is None else choices or []


def _usable(release: Release, template: str, question: str) -> str | None:
    """Return the most hostile text that a question takes: to refuse one is right, too."""
    taken = render.reserved_names(release, template)
    for text in _HOSTILE:
        try:
            questions.check({question: text}, taken)
            render.ask(release, template, {question: text}, f"my-{template}")
        except ScaffoldError:
            continue
        return text
    return None
