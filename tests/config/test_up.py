"""``manage.py up`` as a person meets it: started, refused, disturbed, killed, started again, stopped."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from billing.config.local import up
from billing.config.local.places import DataDir
from tests.config.processes import alive, answers, eventually, family, free_port, run, start

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

STARTING_SECONDS = 120.0  # On a machine with other work; alone it takes four.


@dataclass
class Running:
    """One ``up`` and where it is."""

    process: "subprocess.Popen[bytes]"
    data: DataDir
    port: int
    output: Path

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def text(self) -> str:
        return self.output.read_text()

    def wait_until_it_runs(self) -> None:
        def is_decided() -> bool:
            return "Ctrl-C stops" in self.text() or self.process.poll() is not None

        assert eventually(is_decided, seconds=STARTING_SECONDS), self.text()
        assert self.process.poll() is None, self.text()


def _start(directory: Path) -> Running:
    data = DataDir(directory / "data")
    # Static files as in a second start: gathering them has nothing to do with processes.
    (data.path / "static").mkdir(exist_ok=True)
    (data.path / "static.stamp").write_text(up._static_digest())
    port = free_port()
    output = directory / "up.log"
    process = start("up", "--port", str(port), "--data-dir", str(data.path), output=output)
    running = Running(process, data, port, output)
    running.wait_until_it_runs()
    return running


@pytest.fixture(scope="module")
def running(reachable_directory: Path) -> Iterator[Running]:
    found = _start(reachable_directory)
    yield found
    if found.process.poll() is None:
        found.process.kill()
        found.process.wait()


def test_it_says_where_to_go_and_answers_there(running: Running) -> None:
    assert f"Portal        {running.address}/" in running.text()
    assert answers(f"{running.address}/healthz")


def test_its_log_is_text_for_people(running: Running) -> None:
    line = re.compile(r"^worker   \| [-0-9]{10}T[:.0-9]{12}Z INFO celery", re.MULTILINE)

    assert eventually(lambda: line.search(running.text()) is not None, seconds=30)


def test_the_servers_of_root_run_as_somebody_else_and_the_rest_as_whoever_started_it(running: Running) -> None:
    owners = {pid: os.stat(f"/proc/{pid}").st_uid for pid, _ in alive(family(running.process.pid))}
    postmaster = int((_home(running) / "postgres" / "postmaster.pid").read_text().split()[0])

    assert owners[postmaster] != 0
    assert owners[running.process.pid] == os.getuid()


def test_the_web_server_does_not_know_the_owners_password(running: Running) -> None:
    children = [pid for pid, _ in family(running.process.pid) if "granian" in Path(f"/proc/{pid}/cmdline").read_text()]
    variables = [Path(f"/proc/{pid}/environ").read_text() for pid in children]

    assert children
    assert all("DATABASE_URL=" in one and "DATABASE_OWNER_URL=" not in one for one in variables)


def test_other_commands_on_the_same_data_find_its_servers(running: Running) -> None:
    servers = running.data.announced_servers()

    assert servers is not None
    with psycopg.connect(servers["DATABASE_URL"]) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("ante_app",)
    assert (running.data.path / "servers.json").stat().st_mode & 0o777 == 0o600


def test_a_second_one_on_the_same_data_is_refused_in_one_line(running: Running) -> None:
    second = run("up", "--port", str(free_port()), "--data-dir", str(running.data.path))

    assert second.returncode == 1
    assert second.stderr.splitlines() == [
        f"The data directory {running.data.path} is in use by `up` (process {running.process.pid}): "
        "stop that, or choose another --data-dir."
    ]


def test_a_taken_port_is_refused_in_one_line_before_anything_is_made(running: Running, tmp_path: Path) -> None:
    second = run("up", "--port", str(running.port), "--data-dir", str(tmp_path / "new"))

    assert second.returncode == 1
    assert second.stderr.splitlines() == [f"Port {running.port} on 127.0.0.1 is taken: choose another with --port."]
    assert not (tmp_path / "new").exists()


def test_a_killed_web_server_is_back_within_seconds(running: Running) -> None:
    _kill_all("granian", running)

    assert eventually(lambda: "web      | ended unexpectedly (killed by SIGKILL)" in running.text(), seconds=30)
    assert eventually(lambda: answers(f"{running.address}/healthz"), seconds=30)


def test_killed_servers_are_back_with_their_data_at_the_same_address(running: Running) -> None:
    servers = running.data.announced_servers()
    assert servers is not None

    _kill_all("postgres", running)
    _kill_all("valkey-server", running)

    def is_back() -> bool:
        try:
            with psycopg.connect(servers["DATABASE_URL"], connect_timeout=2) as connection:
                return connection.execute("SELECT count(*) > 0 FROM accounts_user WHERE false").fetchone() is not None
        except psycopg.OperationalError:
            return False

    assert eventually(is_back, seconds=30)
    assert running.process.poll() is None


def test_a_killed_reaper_is_replaced(running: Running) -> None:
    _kill_all("reaper.py", running)

    assert eventually(lambda: bool(_named("reaper.py", running)), seconds=30)


def test_nothing_survives_its_death_and_the_next_one_finds_the_data_and_stops_when_asked(running: Running) -> None:
    everything = family(running.process.pid)
    secrets = (running.data.path / "secrets.json").read_text()
    assert len(everything) > 10

    running.process.kill()
    running.process.wait()
    assert eventually(lambda: not alive(everything), seconds=30), alive(everything)

    again = _start(running.data.path.parent)
    everything = family(again.process.pid)
    assert (again.data.path / "secrets.json").read_text() == secrets
    assert "making its files" not in again.text()

    again.process.send_signal(signal.SIGTERM)
    assert again.process.wait(30) == 0
    assert eventually(lambda: not alive(everything), seconds=30), alive(everything)
    assert again.data.announced_servers() is None
    order = ["Stopping web", "Stopping worker", "Stopping sender", "Stopping beat", "Stopping the servers", "Stopped."]
    places = [again.text().index(line) for line in order]
    assert places == sorted(places)


def _home(running: Running) -> Path:
    return running.data.home()[0]


def _named(program: str, running: Running) -> list[int]:
    """The direct children of ``up`` whose command line has this word."""
    found = []
    for pid, _ in family(running.process.pid):
        try:
            status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            words = Path(f"/proc/{pid}/cmdline").read_text()
        except OSError:
            continue
        if int(status[1]) == running.process.pid and program in words:
            found.append(pid)
    return found


def _kill_all(program: str, running: Running) -> None:
    victims = _named(program, running)
    assert victims
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
