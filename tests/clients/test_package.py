"""The client as a package of its own: what its wheel holds and says of itself, and that it needs nothing of ours."""

import ast
import subprocess
import sys
import tomllib
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "clients" / "python"
SOURCES = PACKAGE / "src" / "ante_client"


@pytest.mark.slow
def test_the_wheel(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="hatchling builds the wheel")
    build = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=PACKAGE, check=True, timeout=120)

    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name == "ante_client-0.1.0-py3-none-any.whl"
    with ZipFile(wheel) as found:
        names = {name for name in found.namelist() if name.startswith("ante_client/")}
        metadata = Parser().parsestr(found.read("ante_client-0.1.0.dist-info/METADATA").decode())
        scripts = found.read("ante_client-0.1.0.dist-info/entry_points.txt").decode()
    assert names == {f"ante_client/{path.relative_to(SOURCES)}" for path in _files()}
    assert (metadata["Name"], metadata["License-Expression"]) == ("ante-client", "Apache-2.0")
    assert metadata.get_all("Requires-Dist") == [
        "httpx2>=2.16",
        "mcp<3,>=2.3; extra == 'agents'",
        "granian>=2.8; extra == 'gateway'",
    ]
    assert "ante-gateway = ante_client.gateway.__main__:main" in scripts


def test_it_imports_nothing_but_what_it_names() -> None:
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    assert project["dependencies"] == ["httpx2>=2.16"]
    optional = {
        "granian": {"gateway/__main__.py"},
        "mcp": {"agents.py"},
        "django": {"django.py"},
        "asgiref": {"django.py"},
    }
    for path in (each for each in _files() if each.suffix == ".py"):
        for name in _imports(path):
            here = str(path.relative_to(SOURCES))
            known = name in sys.stdlib_module_names or name in {"ante_client", "httpx2"}
            assert known or here in optional.get(name, ()), f"{here} imports {name}"


def _files() -> list[Path]:
    return [path for path in SOURCES.rglob("*") if path.is_file() and "__pycache__" not in path.parts]


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found
