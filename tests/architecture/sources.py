"""The product's own source files."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
APPS = ("accounts", "billing", "portal")


def files(*folders: str) -> Iterator[Path]:
    """The Python files below these folders (all apps), without migrations."""
    for folder in folders or APPS:
        found = ROOT / folder
        for path in [found] if found.is_file() else sorted(found.rglob("*.py")):
            if "migrations" not in path.parts:
                yield path


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def lines(*folders: str) -> Iterator[tuple[str, int, str]]:
    """(file, line number, line) of every line."""
    for path in files(*folders):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            yield name(path), number, line


def nodes(*folders: str) -> Iterator[tuple[str, ast.AST]]:
    """(file, node) of every node of the syntax trees."""
    for path in files(*folders):
        for node in _nodes_of(path):
            yield name(path), node


@cache
def _nodes_of(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
