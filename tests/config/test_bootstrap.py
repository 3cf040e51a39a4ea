"""
The making of ``.venv``, in a project of one tiny package and by the very Python that has nothing else.

The package comes from a directory beside it, so these tests need no network; one of them has none on purpose.
"""

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from billing.config.local import bootstrap, problems

BARE_PYTHON = str(getattr(sys, "_base_executable", sys.executable))
SCRIPT = """
import sys
from billing.config.local import bootstrap, problems
try:
    bootstrap.ensure(sys.argv[1], root=bootstrap.ROOT)
except problems.Problem as problem:
    sys.exit(str(problem))
import tiny
print(f"tiny {tiny.VERSION} in {sys.prefix}")
"""


class Project:
    """A directory with our bootstrap, a lock of one package, and the wheels to install it from."""

    def __init__(self, root: Path) -> None:
        self.root = root
        local = root / "billing" / "config" / "local"
        local.mkdir(parents=True)
        for module in (problems, bootstrap):
            shutil.copy(str(module.__file__), local)
        (root / "manage.py").write_text(SCRIPT)
        (root / "wheels").mkdir()
        self.lock("1.0")

    def lock(self, version: str, *, digest: str = "") -> None:
        """Pin ``tiny`` at this version in both locks, and put its wheel where pip looks."""
        wheel = self.root / "wheels" / f"tiny-{version}-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            info = f"tiny-{version}.dist-info"
            files = {
                "tiny.py": f"VERSION = {version!r}\n",
                f"{info}/METADATA": f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n",
                f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            }
            record = [f"{name},sha256={_record_hash(text)},{len(text)}" for name, text in files.items()]
            files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""])
            for name, text in files.items():
                archive.writestr(name, text)
        digest = digest or hashlib.sha256(wheel.read_bytes()).hexdigest()
        for name in ("requirements.lock", "requirements-dev.lock"):
            (self.root / name).write_text(f"tiny=={version} \\\n    --hash=sha256:{digest}\n")

    def command(self, *options: str, lock: str = "requirements.lock", python: str = BARE_PYTHON) -> list[str]:
        return [python, *options, str(self.root / "manage.py"), lock]

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "ANTE_", "PYTHON"))}
        offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.root / "wheels"), "PIP_CONFIG_FILE": os.devnull}
        # Without uv: what pip can do, it can do too, and only pip is certain to be there.
        return kept | {"PATH": "/usr/bin:/bin"} | offline | more

    def start(self, *options: str, lock: str = "requirements.lock", **more: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.command(*options, lock=lock),
            env=self.environment(**more),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_the_first_start_makes_the_environment_and_runs_in_it_and_the_second_is_silent(project: Project) -> None:
    first = project.start()
    second = project.start()

    assert "Setting up the environment in .venv: 1 packages from requirements.lock" in first.stdout, first.stderr
    assert first.stdout.splitlines()[-1] == f"tiny 1.0 in {project.root / '.venv'}"
    assert second.stdout == f"tiny 1.0 in {project.root / '.venv'}\n"


def test_a_changed_lock_is_followed(project: Project) -> None:
    project.start()
    project.lock("2.0")

    assert project.start().stdout.splitlines()[-1].startswith("tiny 2.0 ")


def test_an_environment_for_running_becomes_one_for_development_which_serves_every_command(project: Project) -> None:
    project.start(lock="requirements.lock")

    assert "from requirements-dev.lock" in project.start(lock="requirements-dev.lock").stdout
    assert "Setting up" not in project.start(lock="requirements.lock").stdout


def test_an_installation_that_was_cut_short_is_started_afresh(project: Project) -> None:
    project.start()
    (project.root / ".venv" / ".ante-stamp").unlink()
    (project.root / ".venv" / ".ante-unfinished").touch()
    shutil.rmtree(next((project.root / ".venv").glob("lib/python3*/site-packages/tiny-1.0.dist-info")))
    leftover = project.root / ".venv" / "half-a-file"
    leftover.touch()

    again = project.start()

    assert again.stdout.splitlines()[-1].startswith("tiny 1.0 "), again.stderr
    assert not leftover.exists()


def test_an_environment_whose_python_is_gone_is_made_anew(project: Project) -> None:
    project.start()
    python = project.root / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python3")

    assert project.start().stdout.splitlines()[-1].startswith("tiny 1.0 ")


def test_of_two_starts_at_once_one_installs_and_both_run(project: Project) -> None:
    starts = [
        subprocess.Popen(
            project.command(), env=project.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for _ in range(2)
    ]
    texts = [start.communicate(timeout=60)[0] for start in starts]

    assert [text.splitlines()[-1].split(" in ")[0] for text in texts] == ["tiny 1.0", "tiny 1.0"]
    assert sum("1 packages" in text for text in texts) == 1


def test_inside_another_virtual_environment_nothing_is_made(project: Project) -> None:
    inside = subprocess.run(
        project.command(python=sys.executable), env=project.environment(), capture_output=True, text=True, check=False
    )

    assert "No module named 'tiny'" in inside.stderr
    assert not (project.root / ".venv").exists()


def test_it_can_be_switched_off(project: Project) -> None:
    assert "No module named 'tiny'" in project.start(ANTE_SKIP_BOOTSTRAP="1").stderr
    assert not (project.root / ".venv").exists()


def test_a_missing_pip_is_said_in_one_sentence(project: Project) -> None:
    done = project.start("-S")  # Without site-packages, so without pip: Debian's python3 before python3-pip.

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "apt-get install python3-pip" in done.stderr


def test_a_missing_network_is_said_in_one_sentence(project: Project) -> None:
    nowhere = {
        "PIP_NO_INDEX": "",
        "PIP_FIND_LINKS": "",
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_RETRIES": "1",
    }

    done = project.start(**nowhere)

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "the package index is out of reach" in done.stderr


def test_a_file_that_is_not_the_locked_one_is_refused(project: Project) -> None:
    project.lock("1.0", digest="0" * 64)

    done = project.start()

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert not list((project.root / ".venv").glob("lib/python3*/site-packages/tiny.py"))


def test_an_old_python_is_told_so_by_a_file_that_it_can_read() -> None:
    import ast

    source = (bootstrap.ROOT / "manage.py").read_text()

    ast.parse(source, feature_version=(3, 4))
    assert "needs Python 3.11 or newer" in source
    assert source.index("sys.version_info < (3, 11)") < source.index("from billing")


def _record_hash(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
