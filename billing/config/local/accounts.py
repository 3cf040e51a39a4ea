"""
Who the local servers run as.

PostgreSQL refuses to run as root. So for root the servers run as an account that the machine already has; none is
added, and no directory that is not ours is opened for it. For anybody else they run as that person.
"""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path

from billing.config.local.problems import Problem

PREFERRED = ("nobody", "daemon", "bin")


@dataclass(frozen=True)
class Account:
    """A user of the machine, with its primary group and no other."""

    name: str
    uid: int
    gid: int


def for_servers(existing_data: Path | None = None) -> Account | None:
    """The account to switch to; ``None`` means that the servers run as the caller. Data keeps the owner it has."""
    if os.getuid() != 0:
        return None
    if existing_data is not None and existing_data.exists() and (uid := existing_data.stat().st_uid) != 0:
        try:
            owner = pwd.getpwuid(uid)
        except KeyError:
            raise Problem(f"{existing_data} belongs to user number {uid}, whom this machine does not know.") from None
        return Account(owner.pw_name, owner.pw_uid, owner.pw_gid)
    users = {user.pw_name: user for user in pwd.getpwall() if user.pw_uid != 0}
    for name in [*PREFERRED, *sorted(users)]:
        if name in users:
            return Account(name, users[name].pw_uid, users[name].pw_gid)
    raise Problem("PostgreSQL does not run as root and this machine has no other user: set DATABASE_URL instead.")


def can_enter(directory: Path, account: Account | None) -> bool:
    """Whether the account gets into the directory: tried, not computed, so that access lists count too."""
    if account is None:
        return os.access(directory, os.X_OK)
    entered = subprocess.run(
        ["/bin/sh", "-c", 'cd "$0"', str(directory)],
        user=account.uid,
        group=account.gid,
        extra_groups=[],
        stderr=subprocess.DEVNULL,
        cwd="/",
        check=False,
    )
    return entered.returncode == 0


def own_directory(directory: Path, account: Account | None) -> Path:
    """Make a directory that only the account may enter (and root)."""
    directory.mkdir(mode=0o700, exist_ok=True)
    if account is not None and directory.stat().st_uid != account.uid:
        os.chown(directory, account.uid, account.gid)
    return directory
