"""Lists that may have millions of rows: no column sorts them, they begin with the newest or with the oldest."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse

OLDEST_FIRST = {"first": "oldest"}
"""How the address of such a list says that it begins with the oldest."""


def oldest_first(request: HttpRequest) -> bool:
    """Whether the address asks for the oldest first."""
    return all(request.GET.get(name) == value for name, value in OLDEST_FIRST.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class LongList:
    """What an address asks of the list on the portal's page ``page``; a subclass has its filters."""

    page: ClassVar[str]
    oldest_first: bool

    @property
    @abstractmethod
    def asked(self) -> Mapping[str, str]:
        """The filters by their names in the address; an empty one asks for nothing."""

    @property
    def active(self) -> bool:
        """Whether anything is left out."""
        return any(self.asked.values())

    @property
    def turned(self) -> str:
        """The address that asks for the other order."""
        query = replace(self, oldest_first=not self.oldest_first).query()
        return reverse(f"portal:{self.page}") + (f"?{query}" if query else "")

    def query(self) -> str:
        """The shortest address that asks for the same."""
        asked = {name: value for name, value in self.asked.items() if value}
        return urlencode(asked | (OLDEST_FIRST if self.oldest_first else {}))
