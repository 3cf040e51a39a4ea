"""
The servers an environment lacks: PostgreSQL when DATABASE_URL is not set, Valkey when REDIS_URL is not.

What they give to the commands: DATABASE_URL (the application's role), DATABASE_OWNER_URL (who migrates),
DATABASE_APP_ROLE (whom the owner grants rights to) and REDIS_URL.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from billing.config.local import postgres
from billing.config.local.accounts import Account
from billing.config.local.children import Reaper
from billing.config.local.postgres import Postgres
from billing.config.local.valkey import Valkey

OWNERS_COMMANDS = {"migrate", "flush", "createcachetable", "sqlmigrate", "sqlflush"}
OWNERS_LIMITS = "-c lock_timeout=2s"
"""Who changes tables may take long, and think for long in between, but others do not wait for it behind a lock."""


class Servers:
    """Those that ``environment`` does not name, started together and stopped in reverse order."""

    def __init__(
        self,
        *,
        home: Path,
        account: Account | None,
        reaper: Reaper,
        secret: Callable[[str], str],
        environment: Mapping[str, str] = os.environ,
        throwaway: bool = False,
        say: Callable[[str, str], None] | None = None,
    ) -> None:
        def sayer(name: str) -> Callable[[str], None] | None:
            return None if say is None else lambda line: say(name, line)

        self.postgres: Postgres | None = None
        self.valkey: Valkey | None = None
        if not environment.get("DATABASE_URL"):
            self.postgres = Postgres(
                home=home,
                account=account,
                reaper=reaper,
                password=secret,
                throwaway=throwaway,
                say=sayer("postgres"),
            )
        if not environment.get("REDIS_URL"):
            self.valkey = Valkey(
                home=home,
                account=account,
                reaper=reaper,
                password=secret("valkey"),
                throwaway=throwaway,
                say=sayer("valkey"),
            )

    def start(self, progress: Callable[[str], None] = lambda text: None) -> dict[str, str]:
        """Start them and return what a command's environment needs to find them. Stops all if one fails."""
        found: dict[str, str] = {}
        try:
            if self.postgres is not None:
                progress("PostgreSQL" if self.postgres.data.exists() else "PostgreSQL (making its files)")
                self.postgres.start()
                found["DATABASE_URL"] = self.postgres.url(postgres.APPLICATION)
                found["DATABASE_OWNER_URL"] = self.postgres.url(postgres.OWNER)
                found["DATABASE_APP_ROLE"] = postgres.APPLICATION
            if self.valkey is not None:
                progress("Valkey")
                self.valkey.start()
                found["REDIS_URL"] = self.valkey.url()
        except BaseException:
            self.stop()
            raise
        return found

    def ours(self) -> list[Valkey | Postgres]:
        """Those that run here, in the order in which they stop."""
        return [server for server in (self.valkey, self.postgres) if server is not None]

    def stop(self) -> None:
        for server in self.ours():
            server.stop()

    def kill(self) -> None:
        """Stop them without waiting."""
        for server in self.ours():
            server.kill()


def are_lacking(environment: Mapping[str, str] = os.environ) -> bool:
    return not (environment.get("DATABASE_URL") and environment.get("REDIS_URL"))


def environment_of(command: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of one command: those that change tables connect as the owner, if one is named."""
    result = dict(environment)
    if command in OWNERS_COMMANDS and result.get("DATABASE_OWNER_URL"):
        result["DATABASE_URL"] = result["DATABASE_OWNER_URL"]
        result.setdefault("DATABASE_LIMITS", OWNERS_LIMITS)
    return result
