"""Outside of the database: who was erased, by id alone, so that a backup from before can be made to forget them too."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from django.conf import settings

FILE = "erasures.log"
ORGANIZATION, PERSON = "organization", "person"


class Erased(NamedTuple):
    """``kind`` is ``organization``, a customer's, or ``person``."""

    kind: str
    id: UUID


def path() -> Path:
    """Where they are noted: ``erasures.log`` in the data directory."""
    return Path(settings.DATA_DIR) / FILE


def note(erased: Iterable[Erased]) -> None:
    """Append them to the file, on disk when this returns."""
    file = path()
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="ascii") as lines:
        lines.writelines(f"{each.kind} {each.id}\n" for each in erased)
        lines.flush()
        os.fsync(lines.fileno())


def read(file: Path) -> list[Erased]:
    """Whom a file names, in its order. Raises ``ValueError`` that names the line where one is none, ``OSError``."""
    found = []
    for position, line in enumerate(file.read_text(encoding="ascii").splitlines(), start=1):
        kind, _, id = line.partition(" ")
        try:
            found.append(Erased({ORGANIZATION: ORGANIZATION, PERSON: PERSON}[kind], UUID(id)))
        except (KeyError, ValueError) as error:
            raise ValueError(f"Line {position} of {file} names nobody who was erased.") from error
    return found
