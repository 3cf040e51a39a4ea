"""No secret reaches a log, however it is written, and no text from outside makes a line of its own."""

import io
import logging
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from accounts.logs import ScrubbingFormatter, scrub
from tests.builders import Shop

CANARY = "cAnArY0123456789abcdefXYZ"


@pytest.mark.parametrize(
    "text",
    [
        f"key sk_live_{CANARY} used",
        f"ck_live_{CANARY}",
        f"Authorization: Bearer {CANARY}",
        f"{{'authorization': 'Bearer {CANARY}'}}",
        f'"password": "{CANARY}"',
        f"password={CANARY}&next=/",
        f"GET /invitations/{CANARY} 404",
        f"Not Found: /reset/MDE/{CANARY}",
        f"Internal Server Error: /sign-up/{CANARY}",
        f"Internal Server Error: /embed/{CANARY}?theme=dark",
        f"GET /sign-in/company/acme/back?code={CANARY}&state=",
        f"GET /sign-in/company/acme/back?a=b&state={CANARY}",
        f"postgres://ante_app:{CANARY}@localhost/ante",
        f"redis://:{CANARY}@localhost:6379/0",
        f"whsec_{CANARY}",
        f"sk_test_{CANARY}",
        f"token: {CANARY}",
        f"no letter to {CANARY}@acme.test",
        f"Key (email)=({CANARY}+x@mail.acme.test) already exists.",
        f"DETAIL:  Failing row contains (0193, {CANARY}, \\x00, (1,2)).",
    ],
)
def test_a_secret_is_taken_out(text: str) -> None:
    assert CANARY not in scrub(text)
    assert "***" in scrub(text)


@pytest.mark.parametrize(
    "text", ["A shared transaction of 3 events failed", "/customers/acme/wallet", "gpt-4o: 1,000 tokens"]
)
def test_what_is_none_stays(text: str) -> None:
    assert scrub(text) == text


def test_a_line_stays_a_line_and_tracebacks_are_scrubbed_too() -> None:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(ScrubbingFormatter("%(levelname)s %(message)s"))
    logger = logging.Logger("canary")
    logger.addHandler(handler)
    logger.warning("path %s", "/x\nERROR all is lost\x1b[31m")
    try:
        raise RuntimeError(f"refused: Bearer {CANARY}")
    except RuntimeError:
        logger.exception("failed")

    lines = out.getvalue().splitlines()
    assert lines[0] == "WARNING path /x\\nERROR all is lost\N{REPLACEMENT CHARACTER}[31m"
    assert CANARY not in out.getvalue()


@pytest.mark.usefixtures("plain_static_files")
def test_requests_with_secrets_leave_none_in_the_log(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    secret = shop.key()
    formatter = ScrubbingFormatter("%(message)s")
    caplog.set_level(logging.DEBUG)
    logging.getLogger("django.db.backends").setLevel(logging.INFO)
    client = Client(raise_request_exception=False)
    bearer = {"authorization": f"Bearer {secret}"}
    requests: list[Any] = [
        client.get("/api/v1/customers/none", headers=bearer),
        client.post("/api/v1/events", b"{", content_type="application/json", headers=bearer),
        client.post("/sign-in", {"username": "a@acme.test", "password": CANARY}),
        client.get(f"/invitations/{CANARY}"),
        client.get(f"/reset/MDE/{CANARY}"),
        client.post("/sign-in/code", {"code": CANARY}),
    ]
    assert len(requests) == 6
    written = "\n".join(formatter.format(record) for record in caplog.records)
    assert secret not in written
    assert CANARY not in written
    assert settings.SECRET_KEY not in written


def test_the_settings_use_it() -> None:
    handler = next(iter(logging.getLogger().handlers), None)
    configured = settings.LOGGING["formatters"]["line"]["()"]
    assert configured == "accounts.logs.ScrubbingFormatter"
    assert handler is not None
