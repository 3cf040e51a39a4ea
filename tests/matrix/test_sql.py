"""What is asked for by the query string reaches PostgreSQL as a value, never as a part of a statement."""

import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db import connection
from django.urls import reverse

from accounts.models import User
from accounts.services import staff
from billing.models import PlanVersion
from portal import calculator
from tests.billing.api.conftest import Api
from tests.billing.api.test_parameters import declared
from tests.builders import Shop, browser_of
from tests.matrix.conftest import Tenant
from tests.matrix.test_portal import CALLS, OPEN, filled

MARK = "zq7x"
"""In each of them, and in no statement of ours."""
PAYLOADS = [
    f"' OR '{MARK}'='{MARK}",
    f"'; SELECT pg_sleep(9); -- {MARK}",
    f"1) UNION SELECT password FROM accounts_user -- {MARK}",
    f"{MARK}'||(SELECT version())||'",
    f"{MARK}\\' OR 1=1 --",
    f"{MARK}%' AND 1=(SELECT count(*) FROM pg_user) AND '%'='",
    f"$${MARK}$$",
    f"1;COPY accounts_user TO '/tmp/{MARK}'",
    f'"{MARK}" = "{MARK}"',
    f"{MARK}') FROM billing_customer; DROP TABLE billing_customer; --",
    f"(CASE WHEN 1=1 THEN {MARK} END)",
    f"-1 OR 1=1 /* {MARK} */",
]
READ = [
    *("q", "who", "what", "on", "period", "from", "to", "group", "meter", "asset", "method", "model", "user", "next"),
    *("project", "feature", "session", "key", "kind", "name", "state", "sort", "page", "before", "shown", "hour"),
    *("organization", "customer", "action", "type", "currency", "amount", "plan", "covers", "without", "requests"),
    *("pack", "keep", "preset", "confirm", "whole", "iss", "code", "error", "status"),
    *("role", "set_by", "api_key", "email", "read", "first", "device-page", "device-sort"),
]
"""What pages of the portal read, and what they might. The calculator reads what the prices name besides."""


@contextmanager
def read() -> Iterator[list[str]]:
    """The statements in which the mark stood as they were sent, values apart."""
    found: list[str] = []

    def look(execute: Callable[..., Any], sql: Any, parameters: Any, many: bool, context: Any) -> Any:
        if MARK in str(sql):
            found.append(str(sql))
        return execute(sql, parameters, many, context)

    with connection.execute_wrapper(look):
        yield found


def test_a_statement_with_one_in_it_would_be_found(db: None) -> None:
    """The control."""
    with read() as found, connection.cursor() as cursor:
        cursor.execute("SELECT %s", [PAYLOADS[0]])
        assert found == []
        cursor.execute(f"SELECT '{MARK}'")
    assert found == [f"SELECT '{MARK}'"]


def test_no_parameter_of_the_api_is_part_of_a_statement(acme: Tenant, shop: Shop) -> None:
    api, payloads = Api(shop.key()), itertools.cycle(PAYLOADS)
    asked, broken = 0, []
    with read() as found:
        for call, names in sorted(declared()):
            method, _, path = call.partition(" /api/v1")
            path = re.sub(r"{(\w+)}", lambda argument: acme.ids.get(argument[1], "pro"), path)
            for name in sorted(names) if method == "GET" else ():
                response = api.get(f"{path}?{urlencode({name: next(payloads)})}")
                asked += 1
                if response.status_code >= 500:
                    broken.append((path, name))
    assert (found, broken) == ([], [])
    assert asked >= 80


def test_no_parameter_of_the_portal_is_part_of_a_statement(acme: Tenant, shop: Shop) -> None:
    client, payloads = browser_of(acme.owner, raise_request_exception=False), itertools.cycle(PAYLOADS)
    broken = []
    shop.plan("third", [shop.price(shop.meter("llm_input", "input_tokens"), "1", model=["gpt-4o"])])
    kinds = calculator.kinds(PlanVersion.objects.all())
    asked = {f"n.{name}" for kind in kinds for name in kind.numbers}
    asked |= {f"c.{name}" for kind in kinds for name in kind.choices}
    assert asked >= {"n.input_tokens", "n.output_tokens", "c.model"}
    names = [*READ, *sorted(asked)]
    with read() as found:
        for route, method, needs in CALLS:
            if method == "GET" and needs != OPEN and "zip" not in route:
                response: Any = client.get(filled(route, acme), dict(zip(names, payloads, strict=False)))
                assert not response.streaming or response.getvalue()  # A file keeps its place until it is read.
                if response.status_code >= 500:
                    broken.append(route)
    assert (found, broken) == ([], [])


def test_no_search_and_no_filter_of_the_back_office_is_part_of_a_statement(acme: Tenant) -> None:
    person = User.objects.create_user("admin@ante.test")
    staff.join(person, staff.ADMINISTRATOR)
    client, payloads = browser_of(person, raise_request_exception=False), itertools.cycle(PAYLOADS)
    broken = []
    with read() as found:
        for model in admin.site._registry:
            path = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
            for query in ({"q": next(payloads), "o": next(payloads)}, {f"id__{next(payloads)}": next(payloads)}):
                response: Any = client.get(path, query)
                if response.status_code >= 500:
                    broken.append((path, query))
        for text in PAYLOADS:
            client.get(reverse("admin:search"), {"q": text, "s": text})
    assert (found, broken) == ([], [])
