"""Every answer bears the request's name."""

import re

import pytest
from django.test import Client

from accounts.middleware import printable_cookies


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


def test_only_printable_cookies_are_kept() -> None:
    cookies = {"a": "1", "b": "x\x00y", "c": "x\ny", "d\x7f": "1", "e": "ü"}

    assert printable_cookies(cookies) == {"a": "1", "e": "ü"}
