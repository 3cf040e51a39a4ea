"""``check --deploy`` has nothing to say about a real host's settings, and does about careless ones."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOST = {
    "SECRET_KEY": "x" * 20 + "abcdefghijklmnopqrstuvwxyz0123456789-of-a-real-host",
    "BASE_URL": "https://ante.example.com",
    "BEHIND_TLS_PROXY": "true",
    "TRUSTED_PROXIES": "10.0.0.0/8",
    "DATABASE_URL": "postgres://ante@127.0.0.1/ante",
    "ANTE_SKIP_BOOTSTRAP": "1",
}


def checked(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    code = (
        "import django; django.setup(); from django.core.management import call_command;"
        " call_command('check', deploy=True, fail_level='WARNING'); from django.conf import settings as s;"
        " print(s.SESSION_COOKIE_NAME, s.CSRF_COOKIE_NAME, s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE,"
        " s.SESSION_COOKIE_HTTPONLY, s.SESSION_COOKIE_SAMESITE)"
    )
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    settings = {"DJANGO_SETTINGS_MODULE": "billing.config.settings", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", code], env=kept | settings | environment, capture_output=True, text=True, check=False
    )


def test_a_real_host_has_no_warning_and_cookies_for_itself_alone() -> None:
    found = checked(HOST)

    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[-1] == "__Host-session __Host-csrf True True True Lax"


@pytest.mark.parametrize(
    ("careless", "said"),
    [
        ({"DEBUG": "true"}, "security.W"),
        ({"BASE_URL": "http://ante.example.com"}, "security.W"),
        ({"SECRET_KEY": "short"}, "security.W"),
        ({"ANTE_DEMO": "true"}, "billing.E012"),
    ],
    ids=str,
)
def test_a_careless_one_has(careless: dict[str, str], said: str) -> None:
    found = checked(HOST | careless)

    assert found.returncode != 0
    assert said in found.stderr
