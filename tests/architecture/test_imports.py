"""What may import what: downwards only."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.sources import APPS, ROOT

NOT_IN_A_LAYER = {
    "config": "the wiring: contracts of its own",
    "apps": "Django's entry point: starts with the wiring",
    "demo": "demonstration data, made through the front doors",
    "checks": "what the settings lack, for Django's check command",
    "standin": "a server of its own, that the product knows nothing of: contracts of its own",
    "bench": "measures the whole of it",
    "database": "the rights of the database role, used by migrations and the wiring",
    "pipeline": "plain database access, below everything that asks or writes",
    "migrations": "history",
}


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", command, "--no-cache"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_every_import_points_downwards() -> None:
    ended = lint_imports(ROOT)

    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        ("billing/engine/money.py", "import django.db", "the engine is pure"),
        ("accounts/services/api_keys.py", "import billing.models", "portal, billing, accounts"),
        ("billing/selectors/ledger/books.py", "import billing.services.usage", "billing: front doors"),
    ],
)
def test_an_import_upwards_is_found(tmp_path: Path, file: str, line: str, broken: str) -> None:
    for app in APPS:
        shutil.copytree(ROOT / app, tmp_path / app, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / file).open("a", encoding="utf-8") as source:
        source.write(f"\n{line}\n")

    ended = lint_imports(tmp_path)

    assert ended.returncode != 0
    assert any(broken in found and "BROKEN" in found for found in ended.stdout.splitlines()), ended.stdout


def test_every_part_of_billing_has_its_layer() -> None:
    contracts = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    parts = {
        path.stem
        for path in (ROOT / "billing").iterdir()
        if (path.is_dir() and (path / "__init__.py").exists()) or (path.suffix == ".py" and path.stem != "__init__")
    }

    unplaced = {part for part in parts if f"({part})" not in contracts} - set(NOT_IN_A_LAYER)

    assert unplaced == set(), "give them a layer in pyproject.toml, or a reason here"
