"""The statement on paper: what the page shows of it, for the same filters, to the last digit."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext

from billing.engine.money import exact_sum
from billing.gateways import documents
from billing.selectors.ledger.statements import StatementRow
from portal import access, amounts
from portal.templatetags.portal_parts import day, grant_name, kind_words, moment

ROWS_MAX = 2000
"""What is longer is for the spreadsheet."""


def pdf(visit: access.Visit, rows: Sequence[StatementRow], *, first: date | None, last: date | None) -> bytes:
    """The movements in the order given, those of the days from ``first`` to ``last`` (None: open)."""
    return documents.pdf("statement", shown(visit, rows, first=first, last=last))


def shown(
    visit: access.Visit, rows: Sequence[StatementRow], *, first: date | None, last: date | None
) -> dict[str, Any]:
    """What is on the paper: texts, ready to be set."""
    customer = visit.customer
    moments = [row.occurred_at for row in rows]
    begin, end = first or min(moments, default=last), last or max(moments, default=first)
    return {
        "title": gettext("Statement"),
        "number": customer.name,
        "seller": settings.INVOICE_SELLER,
        "buyer": [text for text in (customer.name, customer.email, customer.country, customer.external_id) if text],
        "facts": [
            (gettext("Days"), f"{day(begin)} – {day(end)}"),
            (gettext("Times in"), visit.zone.key),
            (gettext("Made on"), moment(timezone.now())),
            (gettext("Movements"), amounts.number(Decimal(len(rows)))),
            *_sums(rows),
        ],
        "words": {
            "for": gettext("For"),
            "headings": [gettext("When"), gettext("What"), gettext("Amount"), gettext("Balance")],
            "none": gettext("No movements"),
        },
        "lines": [
            {
                "when": moment(row.occurred_at),
                "what": _what(row),
                "more": _more(row),
                "amount": amounts.exact_text(row.amount, row.asset, signed=True),
                "balance": amounts.exact_text(row.balance_after, row.asset),
            }
            for row in rows
        ],
        "note": settings.INVOICE_NOTE,
    }


def _sums(rows: Sequence[StatementRow]) -> list[tuple[str, str]]:
    """What came in and what went out of each asset."""
    found = []
    for asset in sorted({row.asset for row in rows}):
        moved = [row.amount for row in rows if row.asset == asset]
        came, went = exact_sum(each for each in moved if each > 0), exact_sum(each for each in moved if each < 0)
        found.append((gettext("Came in"), amounts.exact_text(came, asset)))
        found.append((gettext("Went out"), amounts.exact_text(went.copy_abs(), asset)))
    return found


def _what(row: StatementRow) -> str:
    if row.meter:
        return " · ".join(filter(None, [row.meter, row.model]))
    return grant_name(row.grant) or kind_words(row.kind)


def _more(row: StatementRow) -> str:
    """The kind of movement where its name does not say it, what paid, and the event as its sender calls it."""
    words = kind_words(row.kind)
    said = [] if _what(row) == words or (row.meter and row.kind == "usage") else [words]
    if row.meter and row.grant:
        said.append(grant_name(row.grant))
    return " · ".join([*said, *filter(None, [row.event])])
