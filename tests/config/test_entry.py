"""The command line: options that every command has, and refusals in one sentence."""

import os
from pathlib import Path

import pytest

from billing.config.local import commands, entry, options, servers, up


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))


@pytest.mark.parametrize("form", [["--data-dir", "/some/where"], ["--data-dir=/some/where"]])
def test_the_data_directory_is_an_option_of_every_command(form: list[str]) -> None:
    assert entry._take_data_dir(["verify_ledger", *form, "--verbosity", "0"]) == ["verify_ledger", "--verbosity", "0"]
    assert os.environ["DATA_DIR"] == "/some/where"


def test_a_problem_is_one_line_and_an_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main(["manage.py", "verify_ledger", "--data-dir"]) == 1
    assert capsys.readouterr().err == "--data-dir needs a directory.\n"


@pytest.mark.parametrize(
    ("command", "needs"),
    [
        (["migrate"], True),
        (["verify_ledger"], True),
        (["migrate", "--help"], False),
        (["help"], False),
        (["check", "--deploy"], False),
        (["makemigrations", "--check"], False),
        (["collectstatic", "--no-input"], False),
    ],
)
def test_only_commands_that_touch_data_get_servers(command: list[str], needs: bool) -> None:
    assert commands._needs_nothing(command[0], ["manage.py", *command]) is not needs


def test_who_changes_tables_connects_as_their_owner_and_nobody_else_does() -> None:
    known = {"DATABASE_URL": "application", "DATABASE_OWNER_URL": "owner"}

    assert servers.environment_of("migrate", known)["DATABASE_URL"] == "owner"
    assert servers.environment_of("verify_ledger", known)["DATABASE_URL"] == "application"
    assert servers.environment_of("migrate", {"DATABASE_URL": "one"})["DATABASE_URL"] == "one"


@pytest.mark.parametrize("arguments", [["--port", "0"], ["--port", "65536"], ["--workers", "0"], ["--port", "http"]])
def test_senseless_arguments_of_up_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        options.parse(arguments)

    assert stop.value.code == 2


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("::1", "http://[::1]:8000"),
        ("ante.example", "http://ante.example:8000"),
    ],
)
def test_the_address_to_go_to(host: str, address: str) -> None:
    assert options.parse(["--host", host, "--port", "8000"]).address == address


def test_a_new_file_means_that_static_files_are_gathered_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "static").mkdir()
    (tmp_path / "requirements.lock").touch()
    monkeypatch.setattr(up, "ROOT", tmp_path)
    before = up._static_digest()

    (tmp_path / "static" / "new.css").write_text("a {}")

    assert up._static_digest() != before
