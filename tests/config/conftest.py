"""Directories for servers that run as an account of their own."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def reachable_directory() -> Iterator[Path]:
    """Unlike pytest's own temporary directories, others may pass through: root's servers run as somebody else."""
    directory = Path(tempfile.mkdtemp(prefix="ante-t-"))
    directory.chmod(0o711)
    yield directory
    # Servers that were killed may be taking their own files away at this moment.
    shutil.rmtree(directory, ignore_errors=True)
