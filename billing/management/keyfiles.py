"""API keys that a command keeps in a file of its own, so that the next start finds them again."""

import os
from collections.abc import Collection
from pathlib import Path

from accounts.models import Organization, User
from accounts.services import api_keys


def keep(
    file: Path,
    *,
    name: str,
    scopes: Collection[str],
    organization: Organization | None = None,
    created_by: User | None = None,
) -> str:
    """The key in ``file``, readable by its owner alone. A new one where it has none with these scopes."""
    if file.exists():
        kept = file.read_text().strip()
        known = api_keys.authenticate(kept)
        if known is not None and all(known.may(scope) for scope in scopes):
            return kept
    _, secret = api_keys.issue(name=name, scopes=list(scopes), organization=organization, created_by=created_by)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(secret + "\n")
    return secret
