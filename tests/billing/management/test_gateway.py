"""``manage.py gateway``: what it hands to the gateway, and what not."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from accounts.services import api_keys
from tests.config.processes import run


def test_it_becomes_the_gateway_with_a_key_that_it_keeps(
    db: None, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DATA_DIR = tmp_path
    started: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(os, "execve", lambda program, argv, environment: started.append((argv, environment)))
    monkeypatch.setattr("billing.management.commands.gateway.connections.close_all", lambda: None)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")

    for _ in range(2):
        call_command("gateway", "--port", "8123", "--url", "http://ante.test")
    (argv, environment), again = started
    assert again == (argv, environment)
    assert argv[1:] == ["-m", "ante_client.gateway", "--host", "127.0.0.1", "--port", "8123"]
    assert environment["ANTE_URL"] == "http://ante.test"
    assert environment["OPENAI_API_KEY"] == "sk-openai"
    assert not [name for name in environment if name.startswith(("DATABASE_", "REDIS_", "SECRET_KEY"))]
    principal = api_keys.authenticate(environment["ANTE_API_KEY"])
    assert principal is not None
    assert principal.scopes == {"authorizations:write", "events:write"}
    assert stat.S_IMODE((tmp_path / "gateway-api-key").stat().st_mode) == 0o600


@pytest.mark.slow
def test_without_a_product_it_says_so(tmp_path: Path) -> None:
    found = run("gateway", "--data-dir", str(tmp_path))
    assert found.returncode == 1
    assert found.stderr.strip().endswith("start `manage.py up` first, or set DATABASE_URL and REDIS_URL.")
