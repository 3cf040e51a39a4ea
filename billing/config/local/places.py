"""
The data directory: what Ante keeps on a machine that has no servers of its own.

DATA_DIR (default: ``var`` in the project) holds

* ``lock``         held by the one command that runs the servers of this directory; says which process that is;
* ``servers.json`` where those servers are, for other commands (0600, removed at the end);
* ``secrets.json`` passwords and SECRET_KEY, made on first use and kept (0600);
* ``postgres/``, ``valkey/``, ``run/`` the servers' files, unless they had to be placed elsewhere (``servers.path``).

Only directories made here ever get an owner or a mode from us.
"""

import fcntl
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from billing.config.local import accounts, reaper
from billing.config.local.accounts import Account
from billing.config.local.bootstrap import ROOT
from billing.config.local.problems import Problem

CLEANING_UP_SECONDS = 15.0
SOCKET_DIRECTORY_LENGTH_MAX = 107 - len("/.s.PGSQL.5432.lock")


class DataDir:
    """One data directory, made if it is missing."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        made = not self.path.exists()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if made:
                self.path.chmod(0o711)  # The servers' account passes through; every file in it has its own mode.
        except OSError as error:
            raise Problem(f"The data directory {self.path} cannot be used: {error.strerror}.") from error
        if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
            raise Problem(f"The data directory {self.path} belongs to somebody else: choose another with --data-dir.")

    @classmethod
    def from_environment(cls) -> "DataDir":
        return cls(configured())

    # --- Who runs the servers --------------------------------------------------------------------------------------

    @contextmanager
    def held(self, command: str, *, patience_seconds: float = 0.0) -> Iterator[int]:
        """
        Hold the directory for this process; gives the descriptor whose closing lets go of it.

        A holder that was killed is given time to clean up after (its reaper still holds the descriptor), a live one
        ``patience_seconds``.
        """
        # Children must not inherit it, except the reaper, which is told to: Python opens files that way.
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._take(descriptor, patience_seconds)
            note = json.dumps({"pid": os.getpid(), "born": reaper.born(os.getpid()), "command": command})
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, note.encode(), 0)
            self.forget_servers()  # Left by a run that was killed.
            yield descriptor
        finally:
            os.close(descriptor)

    def _take(self, descriptor: int, patience_seconds: float) -> None:
        started = time.monotonic()
        while True:
            try:
                return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = self.holder()
                patience = patience_seconds if holder else max(patience_seconds, CLEANING_UP_SECONDS)
                if time.monotonic() - started > patience:
                    who = f"`{holder['command']}` (process {holder['pid']})" if holder else "another process"
                    raise Problem(
                        f"The data directory {self.path} is in use by {who}: stop that, or choose another --data-dir."
                    ) from None
                time.sleep(0.1)

    def is_held(self) -> bool:
        try:
            descriptor = os.open(self.path / "lock", os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def holder(self) -> dict[str, Any] | None:
        """The process that holds the directory, if it is alive and the one that wrote the note."""
        note = _read_json(self.path / "lock")
        if "pid" not in note or not _is_alive(note["pid"]):
            return None
        born = reaper.born(note["pid"])
        return note if note.get("born") is None or born is None or note["born"] == born else None

    # --- Where its servers are -------------------------------------------------------------------------------------

    def announce_servers(self, environment: dict[str, str]) -> None:
        _write_private(self.path / "servers.json", json.dumps({"pid": os.getpid(), "environment": environment}))

    def forget_servers(self) -> None:
        (self.path / "servers.json").unlink(missing_ok=True)

    def announced_servers(self) -> dict[str, str] | None:
        """The environment of the servers of the process that holds this directory now; ``None`` if there is none."""
        holder = self.holder() if self.is_held() else None
        announced = _read_json(self.path / "servers.json")
        if holder is None or announced.get("pid") != holder["pid"]:
            return None
        return dict(announced["environment"])

    # --- What it keeps ---------------------------------------------------------------------------------------------

    def secret(self, name: str) -> str:
        """A password made on first use: 43 letters, digits, ``-`` and ``_``, so it needs no quoting anywhere."""
        file = self.path / "secrets.json"
        kept = _read_json(file)
        if name not in kept:
            kept[name] = secrets.token_urlsafe(32)
            _write_private(file, json.dumps(kept, indent=1))
        return str(kept[name])

    def home(self) -> tuple[Path, Account | None]:
        """
        Where the servers' files are, and the account they run as.

        Normally the data directory. Where the account cannot get there (below a private directory, say), a directory
        of our own that it can reach; the choice is written down, because the data stays there.
        """
        record = self.path / "servers.path"
        if record.exists():
            home = Path(record.read_text().strip())
            if not home.is_dir():
                raise Problem(f"The data of {self.path} was kept in {home}, now gone: restore it, or remove {record}.")
            return home, accounts.for_servers(home / "postgres")
        account = accounts.for_servers(self.path / "postgres")
        if accounts.can_enter(self.path, account):
            return self.path, account
        home = private_directory()
        _write_private(record, str(home))
        return home, account


def configured() -> Path:
    """The directory that DATA_DIR names, or the project's ``var``."""
    return Path(os.environ.get("DATA_DIR") or ROOT / "var")


def private_directory() -> Path:
    """A new directory that others can pass through but not list, where the machine keeps such things."""
    for parent in ("/var/lib", tempfile.gettempdir()):
        try:
            made = Path(tempfile.mkdtemp(prefix="ante-", dir=parent))
        except OSError:
            continue
        made.chmod(0o711)
        return made
    raise Problem("There is no place for the servers' data: choose another directory with --data-dir.")


def socket_directory(home: Path, account: Account | None) -> Path:
    """A directory for PostgreSQL's socket whose path fits the 107 bytes that a socket's address may have."""
    if len(os.fsencode(home / "run")) <= SOCKET_DIRECTORY_LENGTH_MAX:
        return accounts.own_directory(home / "run", account)
    record = home / "run.path"
    uid = account.uid if account else os.getuid()
    if record.exists():
        known = Path(record.read_text().strip())
        # Anybody may make a directory in /tmp: it has to be a real one, the servers' own, closed to others.
        if known.is_dir() and not known.is_symlink() and (s := known.stat()).st_uid == uid and s.st_mode & 0o077 == 0:
            return known
    short = Path(tempfile.mkdtemp(prefix="ante-", dir="/tmp"))  # TMPDIR may be as long as the path that did not fit.
    if account is not None:
        os.chown(short, account.uid, account.gid)
    _write_private(record, str(short))
    return short


def reachable_copy(source: Path, home: Path, account: Account | None, *, version: str) -> Path:
    """``source`` itself where the account can enter it, otherwise a copy of it in ``home``."""
    if accounts.can_enter(source, account):
        return source
    copy = home / "bin" / f"{source.name}-{version}"
    if not copy.exists():
        copy.parent.mkdir(mode=0o711, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(dir=copy.parent))
        shutil.copytree(source, unfinished / "copy", symlinks=True)
        unfinished.chmod(0o711)
        (unfinished / "copy").chmod(0o755)
        (unfinished / "copy").rename(copy)
        unfinished.rmdir()
    return copy


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    except PermissionError:
        raise Problem(f"{file} belongs to somebody else: choose another directory with --data-dir.") from None
    return content if isinstance(content, dict) else {}


def _write_private(file: Path, text: str) -> None:
    """Replace the file in one step, readable by its owner alone from its first byte on."""
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    with os.fdopen(descriptor, "w") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    os.replace(name, file)
