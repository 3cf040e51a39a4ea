"""No secret reaches a log, however it is written, and no text from outside makes a line of its own."""

import io
import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery
from django.conf import settings
from django.test import Client

from accounts import logs
from accounts.logs import ScrubbingFormatter, scrub
from tests.builders import Shop

CANARY = "cAnArY0123456789abcdefXYZ"


@contextmanager
def request_named(name: str) -> Iterator[None]:
    token = logs.request_id.set(name)
    yield
    logs.request_id.reset(token)


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
        f"Cookie: theme=dark; __Host-session={CANARY}; x=1",
        f"{{'HTTP_COOKIE': 'ante_device={CANARY}'}}",
        f"POST https://hooks.slack.com/services/T1/B1/{CANARY} 404",
        f"https://prod.logic.azure.com/workflows/1?api-version=2016&sig={CANARY}",
        f"DETAIL:  Failing row contains (0193, {CANARY}, \\x00, (1,2)).",
        f"DETAIL:  Failing row contains (0193, a note\n\nof two paragraphs, {CANARY}).",
    ],
)
def test_a_secret_is_taken_out(text: str) -> None:
    assert CANARY not in scrub(text)
    assert "***" in scrub(text)


def test_a_trace_goes_on_after_a_row() -> None:
    onwards = "\n\nDuring handling of the above exception, another exception occurred:\n"

    assert scrub(f"Failing row contains ({CANARY}).{onwards}") == f"Failing row contains (***{onwards}"


def test_a_recovery_code_is_taken_out() -> None:
    assert scrub("the code bk-7hjm-x2pq-abcd-wxyz is wrong") == "the code *** is wrong"


@pytest.mark.parametrize(
    "text", ["A shared transaction of 3 events failed", "/customers/acme/wallet", "gpt-4o: 1,000 tokens"]
)
def test_what_is_none_stays(text: str) -> None:
    assert scrub(text) == text


FORGED = '/x\n{"log.level": "error"}\r\x00\x1b[31m\u2028"\\ \udc80'
"""As text from outside could be that wants to be a line of ours."""


def logged(*, as_json: bool) -> list[str]:
    """The lines of a warning with ``FORGED``, and of an exception that says it and a secret, in a request's work."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(ScrubbingFormatter(as_json=as_json))
    logger = logging.Logger("canary")
    logger.addHandler(handler)
    with request_named("mine-1"):
        logger.warning("path %s", FORGED, extra={"key": CANARY})
        try:
            raise RuntimeError(f"{FORGED} refused: Bearer {CANARY}")
        except RuntimeError:
            logger.exception("failed")
    logger.info("")
    assert CANARY not in out.getvalue()
    return out.getvalue().encode().decode("ascii" if as_json else "utf-8").split("\n")[:-1]


def test_a_line_is_one_object_whatever_is_in_it() -> None:
    warned, failed, empty = map(json.loads, logged(as_json=True))

    assert set(warned) == {"@timestamp", "log.level", "message", "ecs.version", "log.logger", "http.request.id"}
    assert set(failed) == {*warned, "error.type", "error.stack_trace"}
    assert set(empty) == {*warned} - {"http.request.id"}
    assert abs(datetime.fromisoformat(warned["@timestamp"]) - datetime.now(UTC)) < timedelta(minutes=1)
    assert (warned["log.level"], warned["log.logger"], warned["http.request.id"]) == ("warning", "canary", "mine-1")
    assert warned["message"] == 'path /x\n{"log.level": "error"}???[31m?"\\ ?'.replace("?", "\N{REPLACEMENT CHARACTER}")
    assert (failed["message"], failed["error.type"]) == ("failed", "RuntimeError")
    assert "refused: Bearer ***" in failed["error.stack_trace"]


def test_for_people_a_line_begins_at_the_margin_and_nothing_else_does() -> None:
    lines = [line for line in logged(as_json=False) if not line.startswith("    ")]

    assert [re.sub(r"^[-0-9]{10}T[:.0-9]{12}Z ", "", line) for line in lines] == [
        'WARNING canary [mine-1]: path /x\\n{"log.level": "error"}???[31m?"\\ ?'.replace(
            "?", "\N{REPLACEMENT CHARACTER}"
        ),
        "ERROR canary [mine-1]: failed",
        "INFO canary: ",
    ]


def test_what_a_task_logs_bears_its_name_and_id() -> None:
    formatter, app = ScrubbingFormatter(), Celery(set_as_current=False)
    record = logging.makeLogRecord({"msg": "x"})

    @app.task(name="billing.any", shared=False)
    def work() -> dict[str, str]:
        found: dict[str, str] = json.loads(formatter.format(record))
        return found

    said = work.apply(task_id="t-1").get()
    assert (said["labels.task"], said["labels.task_id"]) == ("billing.any", "t-1")
    assert "t-1" not in formatter.format(record)


@pytest.mark.usefixtures("plain_static_files")
def test_requests_with_secrets_leave_none_in_the_log(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    secret = shop.key()
    formatter = ScrubbingFormatter()
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
