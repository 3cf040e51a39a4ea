"""
The environment of the project: ``.venv``, made from a hash-pinned lock file.

Rules:

* Outside any virtual environment the command starts again inside ``.venv``, which is made first where it is missing
  or older than its lock. Inside another virtual environment, or with ANTE_SKIP_BOOTSTRAP=1, nothing is done.
* Needs Python with pip, or uv. Neither ``ensurepip`` nor an activated environment: Debian splits the first off and
  forbids installing outside the second.
* Only wheels whose hashes are in the lock are installed. Building from source would run code that no hash covers.
* The development lock contains the run-time lock, so an environment made from it serves every command.
* A stamp, written last, tells which locks are installed. Two starts at once wait for each other; an installation that
  was cut short is started afresh.
"""

import fcntl
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from billing.config.local.problems import Problem

ROOT = Path(__file__).resolve().parents[3]
RUNTIME_LOCK = "requirements.lock"
DEV_LOCK = "requirements-dev.lock"

PIP_WITH_PYTHON_OPTION = (22, 3)
NETWORK_TROUBLE = re.compile(
    r"NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ConnectionError|ProxyError|SSLError"
    r"|Temporary failure in name resolution|dns error|error sending request|Failed to fetch",
    re.IGNORECASE,
)


def ensure(lock_name: str, *, root: Path = ROOT) -> None:
    """Return inside an environment that holds ``lock_name``; where there is none, make it and start again in it."""
    if os.environ.get("ANTE_SKIP_BOOTSTRAP") == "1":
        return
    environment = root / ".venv"
    inside_ours = _same_directory(Path(sys.prefix), environment)
    if sys.prefix != sys.base_prefix and not inside_ours:
        return

    if not _is_ready(environment, lock_name, root=root):
        try:
            with _one_at_a_time(root):
                if not _is_ready(environment, lock_name, root=root):  # Another start may have made it meanwhile.
                    _make(environment, lock_name, root=root)
        except OSError as error:
            raise Problem(f"The environment {environment} could not be made: {error}.") from error
    if not inside_ours:
        python = environment / "bin" / "python"
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(python, [str(python), *sys.orig_argv[1:]])  # noqa: S606 - the same command, by another interpreter


def locked_packages(lock: Path) -> list[str]:
    """The names of the packages that a lock file pins."""
    return re.findall(r"^([A-Za-z0-9._-]+)==", lock.read_text(), re.MULTILINE)


def _is_ready(environment: Path, lock_name: str, *, root: Path) -> bool:
    return _stamp(environment).get(lock_name) == _digest(root / lock_name) and _runs(environment)


def _runs(environment: Path) -> bool:
    """False also for a link to a Python that was removed from the machine."""
    return os.access(environment / "bin" / "python", os.X_OK)


def _make(environment: Path, lock_name: str, *, root: Path) -> None:
    unfinished = environment / ".ante-unfinished"
    stamp = _stamp(environment)
    if unfinished.exists() or (environment.exists() and not _runs(environment)):
        shutil.rmtree(environment)
        stamp = {}
    if DEV_LOCK in stamp:
        lock_name = DEV_LOCK  # Keeps a developer's tools in step when only the run-time lock was asked for.

    installer = _installer()
    lock = root / lock_name
    count = len(locked_packages(lock))
    print(f"Setting up the environment in {environment.name}: {count} packages from {lock_name} …", flush=True)
    started = time.monotonic()
    if not _runs(environment):
        venv.EnvBuilder(with_pip=False, symlinks=True).create(environment)
    unfinished.touch()
    (environment / ".ante-stamp").unlink(missing_ok=True)
    _install(installer, environment, lock, count=count)
    names = [RUNTIME_LOCK, DEV_LOCK] if lock_name == DEV_LOCK else [RUNTIME_LOCK]
    (environment / ".ante-stamp").write_text(json.dumps({name: _digest(root / name) for name in names}))
    unfinished.unlink()
    print(f"Setting up the environment … done in {time.monotonic() - started:.0f} s.", flush=True)


def _installer() -> list[list[str]]:
    """The commands that can install, best first, without their last arguments."""
    commands = []
    if uv := shutil.which("uv"):
        commands.append([uv, "pip", "install", "--python", "{python}", "--no-deps", "--only-binary", ":all:"])
    # Inside .venv, which has no pip, the interpreter it was made from is asked.
    base = str(getattr(sys, "_base_executable", sys.executable)) if sys.prefix != sys.base_prefix else sys.executable
    version = _pip_version(base)
    if version >= PIP_WITH_PYTHON_OPTION:
        commands.append(
            [
                *(base, "-m", "pip", "--python", "{python}", "install", "--no-deps", "--only-binary", ":all:"),
                *("--no-input", "--disable-pip-version-check", "--no-warn-script-location", "--progress-bar", "off"),
            ]
        )
    if not commands and version:
        raise Problem(f"pip {'.'.join(map(str, version))} is too old to set up the environment: 22.3 or uv is needed.")
    if not commands:
        raise Problem(
            f"Setting up the environment needs pip or uv, and {base} has no pip: "
            "install it (on Debian and Ubuntu: apt-get install python3-pip) and run the command again."
        )
    return commands


def _pip_version(python: str) -> tuple[int, ...]:
    """``(23, 0)``, or ``()`` where there is no pip."""
    if python == sys.executable and importlib.util.find_spec("pip") is None:
        return ()
    answer = subprocess.run([python, "-m", "pip", "--version"], capture_output=True, text=True, check=False)
    found = re.match(r"pip (\d+)\.(\d+)", answer.stdout)
    return (int(found[1]), int(found[2])) if found else ()


def _install(commands: list[list[str]], environment: Path, lock: Path, *, count: int) -> None:
    """Run the first command that succeeds; the output of all goes to ``.venv/install.log``."""
    log = environment / "install.log"
    log.write_text("")
    output: list[str] = []
    for command in commands:
        full = [part.format(python=environment / "bin" / "python") for part in command]
        full += ["--require-hashes", "--requirement", str(lock)]
        # PIP_USER in somebody's configuration contradicts an installation into an environment.
        process = subprocess.Popen(
            full, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "PIP_USER": "0"}
        )
        assert process.stdout is not None
        output = []
        with log.open("a") as file:
            for line in _with_progress(process.stdout, count=count):
                output.append(line)
                file.write(line)
        if process.wait() == 0:
            return
    if any(NETWORK_TROUBLE.search(line) for line in output):
        raise Problem(
            "The environment could not be set up because the package index is out of reach: check the network "
            f"(or pip's index-url) and run the command again; the details are in {log}."
        )
    reasons = [line.strip() for line in output if re.match(r"\s*(error|×)", line, re.IGNORECASE)] or ["it gave none."]
    raise Problem(f"The packages of {lock.name} could not be installed: {reasons[-1]} The details are in {log}.")


def _with_progress(lines: Iterator[str], *, count: int) -> Iterator[str]:
    """Pass the installer's lines on, and say now and then how far it is."""
    live = sys.stdout.isatty()
    said_at = time.monotonic()
    collected = 0
    for line in lines:
        yield line
        if line.startswith(("Collecting", "Installing")):
            collected += line.startswith("Collecting")
            text = "installing" if line.startswith("Installing") else f"fetching {collected} of at most {count}"
            if live:
                print(f"\r  {text:<40}", end="", flush=True)
            elif time.monotonic() - said_at > 5 or line.startswith("Installing"):
                said_at = time.monotonic()
                print(f"  {text}", flush=True)
    if live and collected:
        print("\r" + " " * 44 + "\r", end="", flush=True)


@contextmanager
def _one_at_a_time(root: Path) -> Iterator[None]:
    """Hold the lock on the making of the environment. The kernel drops it with the process, however that ends."""
    with (root / ".venv.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another command is setting up the environment; waiting for it …", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _stamp(environment: Path) -> dict[str, str]:
    """Which locks are installed, by the SHA-256 of the file."""
    try:
        stamp = json.loads((environment / ".ante-stamp").read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _same_directory(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)
