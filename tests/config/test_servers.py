"""The local PostgreSQL and Valkey, without anything around them."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from billing.config.local import accounts
from billing.config.local.children import Reaper
from billing.config.local.postgres import Postgres
from billing.config.local.valkey import Valkey
from tests.config.processes import alive, eventually, family, run, start

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def postgres(reachable_directory: Path) -> Iterator[Postgres]:
    server = _postgres(reachable_directory)
    server.start()
    yield server
    server.kill()


def _postgres(home: Path) -> Postgres:
    return Postgres(
        home=home,
        account=accounts.for_servers(),
        reaper=Reaper(),
        password=lambda role: f"password-of-{role}",
        throwaway=True,
    )


def test_it_listens_on_no_network_and_lets_nobody_in_without_a_password(postgres: Postgres) -> None:
    with psycopg.connect(postgres.url("postgres")) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres.url("postgres").replace("password-of", "guess-of"))


@pytest.mark.parametrize("role", ["ante_app", "ante_owner"])
def test_neither_role_is_a_superuser(postgres: Postgres, role: str) -> None:
    with psycopg.connect(postgres.url(role)) as connection:
        rights = connection.execute(
            "SELECT rolsuper, rolcreaterole, rolbypassrls FROM pg_roles WHERE rolname = %s", [role]
        )
        assert rights.fetchone() == (False, False, False)


def test_the_application_owns_nothing_and_makes_no_tables(postgres: Postgres) -> None:
    with (
        psycopg.connect(postgres.url("ante_app")) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("CREATE TABLE public.mine (id int)")


def test_text_sorts_the_same_on_every_machine(postgres: Postgres) -> None:
    with psycopg.connect(postgres.url("ante_app")) as connection:
        found = connection.execute(
            "SELECT datlocprovider, datlocale, pg_encoding_to_char(encoding), current_setting('TimeZone')"
            " FROM pg_database WHERE datname = current_database()"
        )
        assert found.fetchone() == ("b", "C.UTF-8", "UTF8", "UTC")


def test_a_number_in_the_pid_file_that_is_somebody_elses_by_now_is_no_obstacle(postgres: Postgres) -> None:
    postgres.kill()
    stranger = subprocess.Popen(["/bin/sleep", "60"])
    try:
        pid_file = postgres.data / "postmaster.pid"
        pid_file.write_text(f"{stranger.pid}\n{postgres.data}\n")

        postgres.start()

        assert int(pid_file.read_text().split()[0]) != stranger.pid
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_server_left_over_from_a_killed_run_is_ended_and_not_used(postgres: Postgres) -> None:
    leftover = int((postgres.data / "postmaster.pid").read_text().split()[0])

    second = _postgres(postgres.home)
    second.start()
    try:
        assert int((postgres.data / "postmaster.pid").read_text().split()[0]) != leftover
        assert eventually(lambda: postgres.child.wait(0) is not None, seconds=30)
        with psycopg.connect(second.url("ante_app")) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        second.kill()


def test_valkey_asks_for_its_password_and_keeps_what_it_was_told(reachable_directory: Path) -> None:
    server = Valkey(home=reachable_directory, account=accounts.for_servers(), reaper=Reaper(), password="word")
    server.start()
    try:
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=server.port).ping()
        redis.Redis.from_url(server.url()).set("waiting", "task")
        server.stop()
        server.start()
        assert redis.Redis.from_url(server.url()).get("waiting") == b"task"
    finally:
        server.kill()


def test_a_command_brings_its_own_servers_and_takes_them_away(reachable_directory: Path) -> None:
    script = "from django.db import connection; print(connection.cursor().execute('SELECT current_user').fetchone())"
    data = reachable_directory / "of-a-command"

    done = run("shell", "-v", "0", "-c", script, "--data-dir", str(data))

    assert done.stdout.strip() == "('ante_app',)", done.stderr
    assert not (data / "postgres" / "postmaster.pid").exists()
    assert (data / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_a_command_that_needs_no_data_makes_none(tmp_path: Path) -> None:
    done = run("help", "migrate", "--data-dir", str(tmp_path / "data"))

    assert done.returncode == 0
    assert not (tmp_path / "data").exists()


def test_the_test_command_leaves_nothing_behind_when_it_is_killed(reachable_directory: Path) -> None:
    sleeping = reachable_directory / "test_sleeping.py"
    sleeping.write_text(
        "import pathlib, time\ndef test():\n    pathlib.Path(__file__).with_name('in').touch()\n    time.sleep(60)\n"
    )
    temporary = reachable_directory / "tmp"
    temporary.mkdir(mode=0o711)

    command = start("test", "-c", os.devnull, str(sleeping), output=reachable_directory / "log", TMPDIR=str(temporary))
    assert eventually((reachable_directory / "in").exists, seconds=30), (reachable_directory / "log").read_text()
    everything = family(command.pid)

    command.send_signal(signal.SIGKILL)
    command.wait()

    assert eventually(lambda: not alive(everything), seconds=30), alive(everything)
    assert eventually(lambda: not list(temporary.glob("ante-test-*")), seconds=30)


def test_the_test_command_passes_on_arguments_and_exit_code(reachable_directory: Path) -> None:
    failing = reachable_directory / "test_failing.py"
    failing.write_text("import os\ndef test():\n    assert os.environ['DATABASE_APP_ROLE'] == 'ante_owner'\n")

    done = run("test", "-c", os.devnull, "-q", str(failing))

    assert done.returncode == 1
    assert "'ante_app' == 'ante_owner'" in done.stdout
