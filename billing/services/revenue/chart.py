"""The operator's chart of accounts: what our accounts are called where the journal goes."""

from typing import Any

from django.conf import settings
from django.db import transaction

from accounts.services import audit
from billing.engine.journals import SAP_CODE_MAX, sap_account
from billing.errors import InvalidRequest
from billing.models import Account, AccountMapping

ACCOUNTS: dict[str, str] = {
    "deferred_revenue": "Deferred revenue",
    "deferred_fees": "Deferred fees",
    **{
        account.value: str(account.label)
        for account in (
            *(Account.USAGE, Account.FEES, Account.BREAKAGE, Account.CASH_CLEARING, Account.RECEIVABLE),
            *(Account.REFUNDS, Account.DISPUTED, Account.ADJUSTMENT, Account.PROMOTIONAL_EXPENSE, Account.ALLOWANCES),
            *(Account.TAX_PAYABLE, Account.PAYMENT_FEES, Account.PARTNER_EXPENSE, Account.PARTNER_PAYABLE),
            *(Account.PROVIDER_FEES, Account.FX),
        )
    },
}
"""The accounts of the journal, by code."""


def snapshot() -> dict[str, Any]:
    """The chart as it is now, and what else a day was closed with, to be kept with it."""
    accounts: dict[str, dict[str, dict[str, str]]] = {}
    for row in AccountMapping.objects.order_by("account", "product"):
        accounts.setdefault(row.account, {})[row.product] = {
            "number": row.number,
            "department": row.department,
            "class": row.account_class,
        }
    return {
        "accounts": accounts,
        "subsidiary": settings.NETSUITE_SUBSIDIARY,
        "company_code": settings.SAP_COMPANY_CODE,
        "breakage_expected": str(settings.BREAKAGE_EXPECTED),
    }


def set_account(
    *, actor: audit.Actor, account: str, product: str = "", number: str, department: str = "", account_class: str = ""
) -> AccountMapping:
    """Say what an account, or a product's share of it, is called from the next day on that is closed.

    An empty ``number`` takes the entry out again. Raises ``InvalidRequest`` for an account that does not exist, and,
    where there is a company code of SAP, for what is longer than SAP has room for.
    """
    if account not in ACCOUNTS:
        raise InvalidRequest.field("account", "is not an account of the journal")
    if settings.SAP_COMPANY_CODE:
        codes = {"number": sap_account(number), "department": department, "account_class": account_class}
        for name, code in codes.items():
            if len(code) > SAP_CODE_MAX:
                raise InvalidRequest.field(name, f"has at most {SAP_CODE_MAX} characters in SAP")
    with transaction.atomic():
        found = AccountMapping.objects.filter(account=account, product=product).first()
        before = _shown(found) if found is not None else None
        row = found or AccountMapping(account=account, product=product)
        row.number, row.department, row.account_class = number, department, account_class
        if number:
            row.save()
        elif found is not None:
            found.delete()
        if before != (_shown(row) if number else None):
            audit.record(
                actor=actor,
                action="account_mapping.changed",
                object_type="account_mapping",
                object_id=f"{account}/{product}"[:64],
                before=before,
                after=_shown(row) if number else None,
            )
    return row


def _shown(row: AccountMapping) -> dict[str, str]:
    return {"number": row.number, "department": row.department, "class": row.account_class}
