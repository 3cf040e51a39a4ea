"""One place locks money rows, one place writes them, and nothing about them is a float."""

import ast
import re

from tests.architecture.sources import lines, nodes

LOCKING = re.compile(
    r"(?i:select_for_update|pg_(try_)?advisory|\block table\b|\bfor (no key )?update\b)|\bFOR (KEY )?SHARE\b"
)
LOCKERS = {
    "accounts/services/api_keys.py": "a key, so that it is renewed once",
    "accounts/services/factors.py": "a person, so that a code is accepted once",
    "accounts/second_factor.py": "a person, so that a session is kept through their own step alone",
    "accounts/services/mail.py": "a letter, so that it is sent once",
    "accounts/services/organizations.py": "an organization while its allow-list changes",
    "accounts/services/privacy.py": "a person, so that they are forgotten once",
    "billing/services/customer/privacy.py": "a customer's own row, after its balances, so that it is forgotten once",
    "accounts/services/team.py": "an organization, so that its last owner stays",
    "billing/locks.py": "the one place that locks money rows",
    "billing/services/customer/customers.py": "a customer's own row while its fields are compared; no money is read",
    "billing/services/funding/inbox.py": "messages of the provider, as the outbox does",
    "billing/services/alerts/managing.py": "a customer's own row, so that its alerts are counted one after the other",
    "accounts/services/profiles.py": "a person, so that the trail says what was before",
    "billing/services/alerts/anomalies.py": "what a customer's spending is held against, as above",
    "billing/services/invoicing/taxes.py": "a tax profile, as above",
    "billing/services/alerts/committing.py": "how far a commitment was told of, so that each share is told once",
    "billing/services/notices/addressing.py": "notices, so that each is addressed once",
    "billing/services/notices/targets.py": "a person or where they are told, so that a code is sent and tried once",
    "billing/services/invoicing/dunning.py": "what is open of an invoice, after the wallet, so that it is closed once",
    "billing/services/invoicing/invoice_payments.py": "what is open of a wallet's invoices, after the wallet",
    "billing/services/invoicing/outcomes.py": "what was paid of invoices, after the wallet",
    "billing/services/invoicing/voiding.py": "where the collecting of an invoice is, after the wallet",
    "billing/services/revenue/partners.py": "a partner, so that a day is accrued and a payout noted once",
    "billing/services/notices/sending.py": "a delivery, so that it is sent once",
    "billing/services/exports/delivering.py": "a file, which others skip while one worker delivers it",
    "billing/services/outbox.py": "messages, which others skip while one relay holds them",
    "billing/services/catalog/drafts.py": "a draft's plan, so that it is published once",
    "billing/services/webhooks/endpoints.py": "an endpoint, so that nobody adds to what goes to an address just named",
    "billing/services/webhooks/sending.py": "deliveries, which others skip while one sender holds them; an endpoint",
    "billing/services/catalog/plans.py": "a plan, so that its versions are numbered one after the other",
}
MONEY = {"Balance", "Grant", "LedgerEntry", "LedgerTransaction", "Charge", "UsageEvent", "UsageCounter"} | {
    *("PaymentAttempt", "TopUp", "Refund", "Dispute", "AutoTopUp"),
}
WRITES = {"create", "bulk_create", "bulk_update", "update", "delete", "get_or_create", "update_or_create"}


def test_only_locks_locks_money_rows() -> None:
    found = {file for file, _, line in lines() if LOCKING.search(line) and not file.startswith("billing/bench/")}

    assert found == set(LOCKERS)


def test_what_else_is_locked_is_no_money() -> None:
    for file, number, line in lines(*LOCKERS):
        if file != "billing/locks.py" and LOCKING.search(line):
            locked = re.search(r"(\w+)\.objects\.select_for_update", line)
            assert locked is not None, f"{file}:{number} locks in a way that this test cannot read"
            assert locked[1] not in MONEY, f"{file}:{number}"


def written_models(*folders: str) -> set[tuple[str, str]]:
    """(file, model) wherever ``Model.objects….write()`` is called."""
    found = set()
    for file, node in nodes(*folders):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WRITES:
            chain = ast.unparse(node.func)
            if match := re.match(r"(\w+)\.objects\b", chain):
                found.add((file, match[1]))
    return found


def test_only_services_write_the_books() -> None:
    outside = {
        (file, model)
        for file, model in written_models("billing", "portal", "accounts")
        if not file.startswith(("billing/services/", "billing/bench/")) and model in MONEY
    }

    assert outside == set()


def test_front_doors_write_nothing_of_billing_themselves() -> None:
    doors = written_models("billing/api", "billing/admin", "billing/tasks", "billing/selectors", "portal")

    assert doors == set()


def test_entries_are_written_by_the_ledger_alone() -> None:
    tables = re.compile(r"[\"']billing_ledger(entry|transaction)[\"']")

    assert {file for file, _, line in lines("billing/services") if tables.search(line)} == {
        "billing/services/ledger/book.py"
    }


def test_the_money_code_knows_no_float() -> None:
    money = (
        "billing/engine",
        "billing/services/usage",
        "billing/services/ledger",
        "billing/services/wallet/grants.py",
    )
    allowed = {
        "billing/engine/burndown.py": "compares moments",
        "billing/engine/expressions.py": "tells what Python's parser found, and reads the text instead",
    }
    found = {
        file
        for file, node in nodes(*money)
        if (isinstance(node, ast.Name) and node.id == "float")
        or (isinstance(node, ast.Constant) and type(node.value) is float)
    }

    assert found == set(allowed)


def test_no_view_reads_by_primary_key_past_the_access_rules() -> None:
    found = {
        file
        for file, node in nodes("billing/api", "portal")
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("objects.get", "get_object_or_404"))
    }

    assert found == set()


def test_no_signal_carries_a_rule() -> None:
    importing = {
        file
        for file, node in nodes()
        if isinstance(node, ast.ImportFrom) and (node.module or "").endswith(("db.models.signals", "dispatch"))
    }

    # After migrations: rights for the database role, and the staff's groups.
    assert importing == {"accounts/apps.py", "billing/apps.py"}


def test_the_sources_are_found() -> None:
    assert {file for file, _, _ in lines()} > {
        "billing/services/ledger/posting.py",
        "accounts/ids.py",
        "portal/access.py",
    }
