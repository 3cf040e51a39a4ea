"""
The lock files: ``manage.py lock`` makes them from ``pyproject.toml`` with uv, ``manage.py lock --check`` compares.

* ``requirements.lock`` is what runs in production; ``requirements-dev.lock`` is that and the group ``dev``, with the
  same versions.
* Every package is pinned with the hashes of its files, for every platform and every Python from the oldest supported
  one on; no address of an index is in them, so that pip's own configuration decides where packages come from.
* The check asks no network: it walks from the requirements through the metadata of what is installed here, and wants
  each package that it meets in the lock, in a fitting and the very installed version, and nothing in the lock that it
  does not meet.
"""

import argparse
import importlib.metadata
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from billing.config.local.bootstrap import DEV_LOCK, ROOT, RUNTIME_LOCK
from billing.config.local.problems import Problem

PYTHON = "3.11"


def run(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="manage.py lock", description="Make or check the lock files.")
    parser.add_argument("--check", action="store_true", help="only tell whether they match pyproject.toml")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions, not those locked now")
    options = parser.parse_args(arguments)
    if not options.check:
        return make(upgrade=options.upgrade)
    differences = [*check(RUNTIME_LOCK, groups=()), *check(DEV_LOCK, groups=("dev",)), *superset()]
    for difference in differences:
        print(difference)
    print("The locks do not match pyproject.toml." if differences else "The locks match pyproject.toml.")
    return 1 if differences else 0


def make(*, upgrade: bool) -> int:
    """Resolve anew. A developer's act: it needs uv and the index."""
    uv = shutil.which("uv")
    if uv is None:
        raise Problem("Making the lock files needs uv: install it (for instance with pipx install uv) and try again.")
    common = [uv, "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--python-version", PYTHON]
    common += ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links", "--no-strip-markers"]
    common += ["--upgrade"] if upgrade else []
    dev = ["--constraints", RUNTIME_LOCK, "--group", "pyproject.toml:dev"]
    for lock, more in ((RUNTIME_LOCK, []), (DEV_LOCK, dev)):
        made = subprocess.run([*common, *more, "pyproject.toml", "--output-file", lock], cwd=ROOT, check=False)
        if made.returncode != 0:
            return made.returncode
    return 0


def check(lock_name: str, *, groups: tuple[str, ...]) -> Iterator[str]:
    """One line for each difference between a lock, ``pyproject.toml`` and what is installed."""
    locked = read(ROOT / lock_name)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = list(project["project"]["dependencies"])
    for group in groups:
        wanted += project["dependency-groups"][group]

    met: set[str] = set()
    done: set[tuple[str, str]] = set()
    waiting = [("pyproject.toml", Requirement(text), "") for text in wanted]
    while waiting:
        origin, requirement, extra = waiting.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = str(canonicalize_name(requirement.name))
        met.add(name)
        if name not in locked:
            yield f"{lock_name} lacks {name}, which {origin} requires."
            continue
        if not requirement.specifier.contains(locked[name][0], prereleases=True):
            yield f"{lock_name} has {name} {locked[name][0]}, but {origin} requires {requirement.specifier}."
        for wanted_extra in ("", *requirement.extras):
            if (name, wanted_extra) not in done:
                done.add((name, wanted_extra))
                waiting += [(name, needed, wanted_extra) for needed in _requirements(name)]
    for name, (version, marker) in locked.items():
        if marker is not None and not marker.evaluate():
            continue  # For another platform or Python: nothing here can judge it.
        if name not in met:
            yield f"{lock_name} has {name}, which nothing requires."
        elif (installed := _installed(name)) != version:
            yield f"{lock_name} has {name} {version}, but {installed or 'none'} is installed."


def superset() -> Iterator[str]:
    """The development lock holds every pin of the run-time lock: one environment serves both."""
    dev = read(ROOT / DEV_LOCK)
    for name, (version, _) in read(ROOT / RUNTIME_LOCK).items():
        if name not in dev or dev[name][0] != version:
            yield f"{DEV_LOCK} does not hold {name} {version} of {RUNTIME_LOCK}."


def read(lock: Path) -> dict[str, tuple[str, Marker | None]]:
    """Version and marker of each package in a lock. An address or a pin without hashes is a Problem."""
    text = lock.read_text()
    if "://" in text or re.search(r"^--", text, re.MULTILINE):
        raise Problem(f"{lock.name} names an index or an address; pip's own configuration should.")
    pins: dict[str, tuple[str, Marker | None]] = {}
    for block in re.split(r"\n(?=\S)", text.strip()):
        found = re.match(r"(\S+)==(\S+)(?: ; (.+?))?(?: \\|$)", block)
        if found is None or "--hash=sha256:" not in block:
            raise Problem(f"{lock.name} has a line that is no pin with hashes: {block.splitlines()[0]}")
        pins[canonicalize_name(found[1])] = (found[2], Marker(found[3]) if found[3] else None)
    return pins


def _requirements(name: str) -> list[Requirement]:
    try:
        return [Requirement(text) for text in importlib.metadata.requires(name) or []]
    except importlib.metadata.PackageNotFoundError:
        return []


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
