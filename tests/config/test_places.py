"""The data directory: who holds it, what it keeps secret, where things go that have no room in it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from billing.config.local import accounts, places
from billing.config.local.bootstrap import ROOT
from billing.config.local.places import DataDir
from billing.config.local.problems import Problem

HOLD = """
import sys, time
from pathlib import Path
from billing.config.local.places import DataDir
with DataDir(Path(sys.argv[1])).held("up"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    return DataDir(tmp_path / "data")


def _holder(data: DataDir) -> "subprocess.Popen[str]":
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(data.path)], cwd=ROOT, stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_a_held_directory_is_refused_with_the_name_of_its_holder(data: DataDir) -> None:
    holder = _holder(data)
    try:
        with pytest.raises(Problem, match=rf"is in use by `up` \(process {holder.pid}\)"), data.held("migrate"):
            pass
    finally:
        holder.kill()
        holder.wait()


def test_a_killed_holder_holds_nothing(data: DataDir) -> None:
    holder = _holder(data)
    holder.kill()
    holder.wait()

    with data.held("migrate"):
        assert data.holder() is not None


def test_servers_are_believed_only_while_their_process_holds_the_directory(data: DataDir) -> None:
    with data.held("up"):
        data.announce_servers({"REDIS_URL": "redis://here"})
        assert data.announced_servers() == {"REDIS_URL": "redis://here"}

    assert data.announced_servers() is None


def test_a_number_that_another_process_has_by_now_is_not_the_holder(data: DataDir) -> None:
    (data.path / "lock").write_text(json.dumps({"pid": os.getpid(), "born": 1, "command": "up"}))

    assert data.holder() is None


def test_secrets_are_made_once_and_readable_by_nobody_else(data: DataDir) -> None:
    first = data.secret("secret_key")

    assert DataDir(data.path).secret("secret_key") == first
    assert data.secret("postgres") != first
    assert len(first) == 43
    assert (data.path / "secrets.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.getuid() != 0, reason="only root's servers run as somebody else")
def test_what_root_keeps_private_is_not_opened_but_left_for_another_place(data: DataDir, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)

    home, account = data.home()
    try:
        assert account is not None
        assert tmp_path not in home.parents
        assert accounts.can_enter(home, account)
        assert tmp_path.stat().st_mode & 0o777 == 0o700
        assert data.home() == (home, account)
    finally:
        home.rmdir()
    with pytest.raises(Problem, match="now gone"):
        data.home()


def test_a_path_too_long_for_a_socket_gets_a_short_one_and_keeps_it(tmp_path: Path) -> None:
    home = tmp_path / ("long" * 30)
    home.mkdir()

    short = places.socket_directory(home, None)
    try:
        assert len(str(short)) < 40
        assert places.socket_directory(home, None) == short
        short.chmod(0o755)  # Anybody could have made one like this.
        other = places.socket_directory(home, None)
        assert other != short
        other.rmdir()
    finally:
        short.rmdir()


def test_a_file_in_place_of_the_directory_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(Problem, match="cannot be used"):
        DataDir(tmp_path / "file")
