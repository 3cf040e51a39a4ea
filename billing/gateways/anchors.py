"""Outside of the database: a file to which the newest seal is appended, and what of the chain was verified last.

Whoever may change everything in the database could compute all seals anew. The file says what they were; it is meant
to be copied to where that somebody cannot write.
"""

import os
from pathlib import Path

from django.conf import settings

from billing.models import Seal

FILE = "seals.log"
VERIFIED = "verified-seal"

Note = tuple[int, str]
"""Number and hash, in hexadecimal, of a seal."""


def path() -> Path:
    """Where seals are noted: ``seals.log`` in the data directory."""
    return Path(settings.DATA_DIR) / FILE


def note(seal: Seal) -> None:
    """Append the seal to the file, on disk when this returns, unless it is the last line already."""
    number, noted = seal.number, bytes(seal.hash).hex()
    file = path()
    if file.exists() and read(file)[-1:] == [(number, noted)]:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="ascii") as lines:
        lines.write(f"{number} {noted} {seal.made_at.isoformat()}\n")
        lines.flush()
        os.fsync(lines.fileno())


def read(file: Path) -> list[Note]:
    """The notes of a file. Raises ``ValueError`` that names the line where one is not a note, ``OSError``."""
    notes = []
    for position, line in enumerate(file.read_text(encoding="ascii").splitlines(), start=1):
        words = line.split()
        if len(words) < 2 or not words[0].isdecimal() or len(words[1]) != 64:
            raise ValueError(f"Line {position} of {file} is no note of a seal.")
        notes.append((int(words[0]), words[1]))
    return notes


def verified() -> Note | None:
    """The newest seal when everything was last found right from this machine."""
    try:
        return read(Path(settings.DATA_DIR) / VERIFIED)[-1]
    except (OSError, ValueError, IndexError):
        return None


def note_verified(seal: Seal) -> None:
    """Remember that everything up to this seal is right. Nothing is remembered where the directory refuses it."""
    file = Path(settings.DATA_DIR) / VERIFIED
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_suffix(".new")
        fresh.write_text(f"{seal.number} {bytes(seal.hash).hex()}\n", encoding="ascii")
        fresh.replace(file)
    except OSError:
        return
