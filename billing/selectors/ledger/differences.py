"""What the books should be and are not."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Difference:
    """The first row for which something does not hold that must. ``invariant`` is the short name of what."""

    invariant: str
    statement: str
    row: dict[str, Any]

    def __str__(self) -> str:
        found = ", ".join(f"{name} {value}" for name, value in self.row.items())
        return f"{self.invariant}: {self.statement} Not so for {found}."
