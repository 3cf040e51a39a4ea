"""Every answer bears the request's name."""

import logging
import re
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from accounts import logs
from accounts.logs import ScrubbingFormatter
from accounts.middleware import RequestIdMiddleware, printable_cookies


@pytest.mark.usefixtures("plain_static_files")
@pytest.mark.parametrize("path", ["/healthz", "/api/v1/nothing", "/nothing-at-all"])
def test_every_answer_bears_a_request_id(db: None, path: str) -> None:
    assert re.fullmatch(r"[0-9a-f]{32}", Client().get(path)["X-Request-Id"])


def test_two_requests_have_two_ids() -> None:
    assert Client().get("/healthz")["X-Request-Id"] != Client().get("/healthz")["X-Request-Id"]


@pytest.mark.parametrize("brought", ["abc-123", "A.b_c", "x" * 64])
def test_a_plain_name_that_was_brought_is_kept(brought: str) -> None:
    assert Client().get("/healthz", headers={"x-request-id": brought})["X-Request-Id"] == brought


@pytest.mark.parametrize("brought", ["", "x" * 65, "a b", "a\tb", "<script>", "ü"])
def test_any_other_name_is_replaced(brought: str) -> None:
    answered = Client().get("/healthz", headers={"x-request-id": brought})["X-Request-Id"]

    assert re.fullmatch(r"[0-9a-f]{32}", answered)


def test_requests_at_the_same_time_log_under_their_own_ids_and_nothing_does_afterwards() -> None:
    together, formatter = Barrier(2), ScrubbingFormatter()

    def answer(request: HttpRequest) -> HttpResponse:
        together.wait(timeout=10)
        return HttpResponse(formatter.format(logging.makeLogRecord({})))

    def ask(name: str) -> tuple[Any, str]:
        response = RequestIdMiddleware(answer)(RequestFactory().get("/", headers={"x-request-id": name}))
        response.close()
        return response.content.decode(), logs.request_id.get()

    with ThreadPoolExecutor(2) as pool:
        (first, after), (second, _) = pool.map(ask, ["mine-1", "mine-2"])

    assert ("mine-1" in first, "mine-2" in first, "mine-1" in second, "mine-2" in second) == (True, False, False, True)
    assert after == ""


def test_only_printable_cookies_are_kept() -> None:
    cookies = {"a": "1", "b": "x\x00y", "c": "x\ny", "d\x7f": "1", "e": "ü"}

    assert printable_cookies(cookies) == {"a": "1", "e": "ü"}
