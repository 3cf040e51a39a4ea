"""The lock files say what ``pyproject.toml`` asks for, and the check notices when they do not."""

from pathlib import Path

import pytest

from billing.config.local import pins
from billing.config.local.bootstrap import DEV_LOCK, ROOT, RUNTIME_LOCK
from billing.config.local.problems import Problem


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (RUNTIME_LOCK, DEV_LOCK, "pyproject.toml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    monkeypatch.setattr(pins, "ROOT", tmp_path)
    return tmp_path


def _edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_the_locks_match() -> None:
    assert [*pins.check(RUNTIME_LOCK, groups=()), *pins.check(DEV_LOCK, groups=("dev",)), *pins.superset()] == []


def test_a_requirement_that_is_not_locked_is_found(copy: Path) -> None:
    _edit(copy / "pyproject.toml", '"redis>=7"', '"redis>=7", "pytest"')

    assert "requirements.lock lacks pytest, which pyproject.toml requires." in list(pins.check(RUNTIME_LOCK, groups=()))


def test_a_version_that_does_not_fit_any_more_is_found(copy: Path) -> None:
    _edit(copy / "pyproject.toml", '"redis>=7"', '"redis>=1000"')

    assert any("pyproject.toml requires >=1000" in line for line in pins.check(RUNTIME_LOCK, groups=()))


def test_a_locked_package_that_nothing_requires_any_more_is_found(copy: Path) -> None:
    _edit(copy / "pyproject.toml", '  "a2wsgi>=1.10",\n', "")

    assert list(pins.check(RUNTIME_LOCK, groups=())) == ["requirements.lock has a2wsgi, which nothing requires."]


def test_locks_that_disagree_are_found(copy: Path) -> None:
    _edit(copy / DEV_LOCK, "a2wsgi==", "a2wsgi==0")

    assert any("requirements-dev.lock does not hold a2wsgi" in line for line in pins.superset())


@pytest.mark.parametrize("line", ["--index-url https://example.com/simple", "tiny==1.0"])
def test_an_address_or_a_pin_without_hashes_is_refused(copy: Path, line: str) -> None:
    lock = copy / RUNTIME_LOCK
    lock.write_text(f"{line}\n{lock.read_text()}")

    with pytest.raises(Problem):
        pins.read(lock)
