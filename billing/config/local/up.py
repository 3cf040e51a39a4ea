"""
``manage.py up``: the whole product in one foreground process.

In this order: the data directory is held, PostgreSQL and Valkey start (where the environment names none), the tables
are brought up to date, static files are gathered, and then web server, worker and beat run until Ctrl-C or SIGTERM,
which end all of them in good order. A process that ends by itself is started again, ever more slowly if it keeps
ending. What is wrong with the arguments, the port or the directory is said before anything is started.
"""

import hashlib
import json
import os
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from billing.config.local import places
from billing.config.local.bootstrap import ROOT, RUNTIME_LOCK
from billing.config.local.children import Child, Reaper
from billing.config.local.console import Console
from billing.config.local.options import Options
from billing.config.local.places import DataDir
from billing.config.local.problems import Problem
from billing.config.local.programs import long_running
from billing.config.local.servers import Servers, environment_of

RESTART_DELAYS_SECONDS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
STEADY_SECONDS = 30.0
"""A process that ran this long has recovered: its next restart is immediate again."""

TICK_SECONDS = 0.1


class StopAsked(Exception):
    """Ctrl-C or SIGTERM came while setting up."""


def refuse_early(options: Options) -> None:
    """Refuse what cannot work, while nothing has been touched."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((options.host.strip("[]"), options.port))
        except OSError as error:
            reason = "is taken" if error.errno == 98 else f"cannot be used ({error.strerror})"
            raise Problem(f"Port {options.port} on {options.host} {reason}: choose another with --port.") from error
    if places.configured().exists():
        # Held for an instant: gives the sentence about who uses it.
        with DataDir.from_environment().held("up"):
            pass


def run(options: Options) -> int:
    """Run until asked to stop; 0 then. What fails while setting up is a Problem."""
    data = DataDir.from_environment()
    with data.held("up") as descriptor:
        reaper = Reaper(keep_open=[descriptor])
        return Up(options, data, reaper, Console()).run()


@dataclass
class Watched:
    """A child that is started again when it ends, by ``start``, which may raise a Problem."""

    child: Child
    start: Callable[[], None]
    restarts: int = 0
    restart_at: float | None = None


@dataclass
class Up:
    """One run of the command."""

    options: Options
    data: DataDir
    reaper: Reaper
    console: Console
    servers: Servers = field(init=False)
    servers_watched: list[Watched] = field(default_factory=list)
    watched: list[Watched] = field(default_factory=list)
    steps: list[Child] = field(default_factory=list)
    standin_port: int | None = None
    gateway_port: int | None = None
    asked_to_stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> int:
        self._answer_signals()
        started = time.monotonic()
        home, account = self.data.home()
        self.servers = Servers(
            home=home, account=account, reaper=self.reaper, secret=self.data.secret, say=self.console.say
        )
        try:
            environment = self._environment()
            environment |= self.servers.start(progress=lambda name: self.console.progress(f"Starting {name} …"))
            self.servers_watched = [Watched(server.child, server.restart) for server in self.servers.ours()]
            self.data.announce_servers({name: environment[name] for name in ANNOUNCED if name in environment})
            signs = self._prepare(environment)
            self._start_processes(environment)
            self._wait_for_web()
            self.console.block(self._greeting(time.monotonic() - started, signs))
            self._watch()
        except StopAsked:
            pass
        finally:
            self._stop()
        return 0

    # --- Setting up ------------------------------------------------------------------------------------------------

    def _environment(self) -> dict[str, str]:
        environment = dict(os.environ)
        environment.setdefault("DJANGO_SETTINGS_MODULE", "billing.config.settings")
        environment.setdefault("BASE_URL", self.options.address)
        environment["DATA_DIR"] = str(self.data.path)
        environment.setdefault("LOG_FORMAT", "text")
        environment["PYTHONUNBUFFERED"] = "1"
        environment["ANTE_SKIP_BOOTSTRAP"] = "1"  # The children run in this very environment.
        if not environment.get("SECRET_KEY"):
            environment["SECRET_KEY"] = self.data.secret("secret_key")
        if self.options.demo:
            environment["ANTE_DEMO"] = "1"
            self.gateway_port = _free_port(self.options.port + 2)
        if not (environment.get("STRIPE_SECRET_KEY") or environment.get("PAYMENT_PROVIDER")):
            self.standin_port = _free_port(self.options.port + 1)
            environment["STRIPE_SECRET_KEY"] = f"sk_test_{self.data.secret('payments_key')}"
            environment["STRIPE_WEBHOOK_SECRET"] = f"whsec_{self.data.secret('payments_webhooks')}"
            environment["STRIPE_API_BASE"] = f"http://127.0.0.1:{self.standin_port}"
        return environment

    def _prepare(self, environment: Mapping[str, str]) -> str:
        """Tables, demonstration data, static files. Returns what the second has to say: how to sign in."""
        migrate = self._step("migrate", ["migrate", "--no-input"], environment)
        gather = None
        stamp = self.data.path / "static.stamp"
        sources = _static_digest()
        if not stamp.exists() or stamp.read_text() != sources:
            # Hashing and compressing takes its time, and only the web server waits for it.
            gather = self._step("static", ["collectstatic", "--no-input", "--clear", "--verbosity", "0"], environment)
        self.console.progress("Bringing tables up to date …")
        self._finish(migrate)
        if (self.data.path / "erasures.log").exists():
            # The database may be an older copy. Nobody is let in to see who was erased since.
            self._finish(self._step("erasures", ["reapply_erasures"], environment))
        # What models cost, so that there are margins from the first event on. A list that was imported stays as it is.
        # The demonstration sees to it itself, before its usage.
        costs = None
        if not self.options.demo:
            costs = self._step("costs", ["import_model_costs", "--if-none"], environment)
        signs = ""
        if self.options.demo:
            self.console.progress("Looking after the demonstration data …")
            # What it prints is for whoever signs in, once there is somewhere to; its progress is shown as it goes.
            signs = self._finish(self._step("seed", ["seed_demo"], environment, show_errors=True))
            if self.servers.postgres is not None:
                self.servers.postgres.analyze()
        if gather is not None:
            self.console.progress("Gathering and compressing static files …")
            self._finish(gather)
            stamp.write_text(sources)
        if costs is not None:
            self._finish(costs)
        return signs

    def _step(
        self, name: str, command: list[str], environment: Mapping[str, str], *, show_errors: bool = False
    ) -> tuple[Child, list[str]]:
        """Start a management command that comes to an end, and collect what it says."""
        lines: list[str] = []
        child = Child(
            name=name,
            argv=[sys.executable, str(ROOT / "manage.py"), *command],
            reaper=self.reaper,
            env=environment_of(command[0], environment),
            directory=ROOT,
            say=lines.append,
            say_errors=(lambda line: self.console.say(name, line)) if show_errors else None,
        )
        self.steps.append(child)
        child.start()
        return child, lines

    def _finish(self, step: tuple[Child, list[str]]) -> str:
        child, lines = step
        while child.is_running():
            self._pause()
        code = child.clear()
        if code:
            for line in lines:
                self.console.say(child.name, line)
            raise Problem(f"`manage.py {' '.join(child.argv[2:])}` failed with exit code {code}; its words are above.")
        return "\n".join(lines)

    def _start_processes(self, environment: Mapping[str, str]) -> None:
        # Only migrations own tables: what runs all day does not even know the owner's password.
        everyday = {name: value for name, value in environment.items() if name != "DATABASE_OWNER_URL"}
        # Celery disapproves of root at every start; whoever starts this as root has decided it.
        everyday.setdefault("PYTHONWARNINGS", "ignore:You're running the worker with superuser privileges")
        for program in long_running(
            self.options, self.data.path, standin_port=self.standin_port, gateway_port=self.gateway_port
        ):
            child = Child(
                name=program.name,
                argv=program.argv,
                reaper=self.reaper,
                env=everyday,
                directory=ROOT,
                patience_seconds=program.patience_seconds,
                say=lambda line, name=program.name: self.console.say(name, line),  # type: ignore[misc]
            )
            self.watched.append(Watched(child, child.start))
            child.start()

    def _wait_for_web(self) -> None:
        """Until it answers. Meanwhile a web server that cannot start is restarted and says why."""
        self.console.progress("Starting web server, worker and beat …")
        while True:
            try:
                with urllib.request.urlopen(f"{self.options.address}/healthz", timeout=2):  # noqa: S310 - http, our own
                    return
            except (urllib.error.URLError, OSError):
                self._tend()
                self._pause()

    def _greeting(self, seconds: float, signs: str) -> str:
        base = os.environ.get("BASE_URL", self.options.address)
        lines = [
            f"Ante is running (started in {seconds:.0f} s).",
            "",
            f"  Portal        {base}/",
            f"  Back office   {base}/admin/",
            f"  API           {base}/api/v1/docs/",
            f"  Data          {self.data.path}",
        ]
        if self.standin_port is not None:
            stand_in = f"  Payments      http://127.0.0.1:{self.standin_port}/ (a stand-in: no money moves)"
            lines.insert(-1, stand_in)
        if self.gateway_port is not None:
            lines.insert(-1, f"  Gateway       http://127.0.0.1:{self.gateway_port}/v1 (no model is asked: a stand-in)")
        if signs:
            lines += ["", signs]
        return "\n".join([*lines, "", "Ctrl-C stops everything; the data stays."])

    # --- Running ---------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        while True:
            self._tend()
            self._pause()

    def _tend(self) -> None:
        """Start again what has ended."""
        self.reaper.keep_alive()
        for watched in [*self.servers_watched, *self.watched]:
            self._tend_one(watched)

    def _tend_one(self, watched: Watched) -> None:
        child = watched.child
        now = time.monotonic()
        if child.is_running():
            if now - child.started_at > STEADY_SECONDS:
                watched.restarts = 0
            return
        if watched.restart_at is None:
            delay = RESTART_DELAYS_SECONDS[min(watched.restarts, len(RESTART_DELAYS_SECONDS) - 1)]
            watched.restart_at = now + delay
            code = child.clear()
            when = f"in {delay:.0f} s" if delay else "now"
            self.console.say(child.name, f"ended unexpectedly ({_how_it_ended(code)}); starting it again {when}.")
        if now >= watched.restart_at:
            watched.restart_at = None
            watched.restarts += 1
            try:
                watched.start()
            except Problem as problem:
                self.console.say(child.name, str(problem))

    def _pause(self) -> None:
        if self.asked_to_stop.wait(TICK_SECONDS):
            raise StopAsked

    # --- Stopping --------------------------------------------------------------------------------------------------

    def _answer_signals(self) -> None:
        def answer(number: int, frame: object) -> None:
            if self.asked_to_stop.is_set():
                raise KeyboardInterrupt  # Asked twice: no more waiting.
            self.asked_to_stop.set()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, answer)

    def _stop(self) -> None:
        """The web server first, so that nobody is promised anything; the database last."""
        self.asked_to_stop.set()
        self.data.forget_servers()
        order = [*self.steps, *(watched.child for watched in self.watched)]
        try:
            for child in order:
                if child.is_running():
                    self.console.progress(f"Stopping {child.name} …")
                child.stop()
            self.console.progress("Stopping the servers …")
            self.servers.stop()
        except KeyboardInterrupt:
            self.console.progress("Killing what is left.")
            for child in order:
                child.clear()
            self.servers.kill()
        self.reaper.done()
        self.console.progress("Stopped.")


ANNOUNCED = (
    *("DATABASE_URL", "DATABASE_OWNER_URL", "DATABASE_APP_ROLE", "REDIS_URL", "SECRET_KEY", "BASE_URL"),
    *("PAYMENT_PROVIDER", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "STRIPE_API_BASE", "ANTE_TEST"),
)
"""What other commands on the same data directory are told."""


def _free_port(wanted: int) -> int:
    """``wanted``, or any other where that is taken: addresses that were given out stay good if they can."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except (OSError, OverflowError):
                continue
            return int(probe.getsockname()[1])
    raise Problem("There is no free port on this machine.")


def _static_digest() -> str:
    """Changes whenever a file that collectstatic would gather may have changed."""
    digest = hashlib.sha256((ROOT / RUNTIME_LOCK).read_bytes())
    for file in sorted(_static_files()):
        status = file.stat()
        digest.update(json.dumps([str(file), status.st_size, status.st_mtime_ns]).encode())
    return digest.hexdigest()


def _static_files() -> Iterator[Path]:
    for directory in (ROOT / "static", *(ROOT / app / "static" for app in ("accounts", "billing", "portal"))):
        yield from (file for file in directory.rglob("*") if file.is_file())


def _how_it_ended(code: int | None) -> str:
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
