"""The processes of the product itself, in the order in which they stop. A process manager may run the same lines."""

import sys
from dataclasses import dataclass
from pathlib import Path

from billing.config.local.bootstrap import ROOT
from billing.config.local.options import Options

WEB_INTERFACE = "asgi"
"""``asgi`` serves live updates too; ``wsgi`` serves all but those. Each has its module in ``billing.config``."""

MANAGE = (sys.executable, str(ROOT / "manage.py"))
CELERY = (sys.executable, "-m", "celery", "--quiet", "-A", "billing.config.celery")
WORKER_PROCESSES = 2
WEB_GRACE_SECONDS = 3
"""What a request in progress is given at a stop; streams of live updates never end by themselves."""


@dataclass(frozen=True)
class Program:
    """A command line, and how long it may take to end when asked to."""

    name: str
    argv: list[str]
    patience_seconds: float = 10.0


def long_running(
    options: Options, data_dir: Path, *, standin_port: int | None = None, gateway_port: int | None = None
) -> list[Program]:
    programs = [web(options), worker(), sender(), beat(data_dir)]
    if standin_port is not None:
        programs.append(payments(options, data_dir, standin_port))
    if gateway_port is not None:
        programs.insert(0, gateway(options, gateway_port))
    if options.demo:
        programs.insert(0, Program("demo", [*MANAGE, "demo_traffic"], 3.0))
    return programs


def web(options: Options) -> Program:
    argv = [
        *(sys.executable, "-m", "granian", f"billing.config.{WEB_INTERFACE}:application"),
        *("--interface", WEB_INTERFACE, "--host", options.host, "--port", str(options.port)),
        *("--workers", str(options.workers), "--no-ws", "--log-level", "warning"),
        *("--respawn-failed-workers", "--respawn-interval", "0.2"),
        *("--workers-kill-timeout", str(WEB_GRACE_SECONDS)),
    ]
    return Program("web", argv, WEB_GRACE_SECONDS + 3.0)


def payments(options: Options, data_dir: Path, port: int) -> Program:
    """The stand-in for the payment provider. On this machine alone, whatever the web server listens on."""
    webhook = f"{options.address}/api/v1/webhooks/stripe"
    argv = [sys.executable, "-m", "billing.standin", "--port", str(port), "--data-dir", str(data_dir)]
    return Program("payments", [*argv, "--webhook", webhook], 3.0)


def gateway(options: Options, port: int) -> Program:
    """The metering gateway, with a stand-in for the models. On this machine alone, like the payments."""
    return Program("gateway", [*MANAGE, "gateway", "--port", str(port), "--url", options.address, "--stand-in"])


def worker() -> Program:
    return _worker("worker", queue="celery", processes=WORKER_PROCESSES)


def sender() -> Program:
    """The worker for what waits for the servers of strangers, so that all other work goes on however slow they are."""
    return _worker("sender", queue="webhooks", processes=1)


def _worker(name: str, *, queue: str, processes: int) -> Program:
    # Processes rather than threads: only they can be held to a task's time limit.
    return Program(
        name,
        [
            *CELERY,
            *("worker", "--hostname", f"{name}@%h", "--queues", queue, "--loglevel", "INFO"),
            *("--pool", "prefork", "--concurrency", str(processes), "--without-gossip", "--without-mingle"),
        ],
    )


def beat(data_dir: Path) -> Program:
    schedule = data_dir / "celerybeat-schedule"
    return Program(
        "beat",
        [
            *CELERY,
            *("beat", "--loglevel", "WARNING", "--schedule", str(schedule), "--pidfile", ""),
        ],
    )
