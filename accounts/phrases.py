"""Texts that are kept or told in English, said in the reader's language: found by how they stand in the code.

What a service refuses and what a paper says is English for the API and for the records. Where people read it, it is
looked up here instead of being marked where it is made, so that nothing below knows of languages.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from types import MappingProxyType

from django.utils.translation import gettext

from accounts.reading import digits

_NUMBER = re.compile(r"-?\d[\d,]*(\.\d+)?")


class Phrases:
    """``texts`` are as they stand in the code, marked by ``gettext_noop``, with ``{names}`` for what is filled in.

    ``shapes`` are patterns of what can be filled in, by name, where that is not any text.
    """

    def __init__(self, texts: Sequence[str], shapes: Mapping[str, str] = MappingProxyType({})) -> None:
        self.texts = texts
        self._shapes = shapes

    def said(self, text: str) -> str:
        """The text in the reader's language, and so what is filled in; as it stands where it is not known. Numbers that
        are filled in are written as the reader writes them."""
        if _NUMBER.fullmatch(text):
            return digits(text)
        for template, pattern in self._patterns:
            if found := pattern.fullmatch(text):
                return self.filled(gettext(template), found.groupdict())
        return text

    def filled(self, template: str, values: Mapping[str, str]) -> str:
        """A text in the reader's language, with what is filled in."""
        return template.format(**{name: self.said(value) for name, value in values.items()})

    def knows(self, text: str) -> bool:
        return any(pattern.fullmatch(text) for _, pattern in self._patterns)

    @cached_property
    def _patterns(self) -> list[tuple[str, re.Pattern[str]]]:
        """Each text with what recognizes it, those with the fewest places first."""
        texts = sorted(self.texts, key=lambda text: text.count("{"))
        return [(text, self._pattern(text)) for text in texts]

    def _pattern(self, text: str) -> re.Pattern[str]:
        def place(found: re.Match[str]) -> str:
            return f"(?P<{found[1]}>{self._shapes.get(found[1], '.*?')})"

        return re.compile(re.sub(r"\\{(\w+)\\}", place, re.escape(text)), re.DOTALL)
