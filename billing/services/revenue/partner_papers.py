"""A partner's statement of a month on paper: what each customer brought, and what of it is theirs."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from itertools import accumulate, pairwise
from typing import Any

from django.conf import settings
from django.db.models import Sum

from billing.engine.currencies import places
from billing.engine.money import EXACT, ZERO, amount_string, exact_sum, round_half_even
from billing.gateways import documents
from billing.models import Partner
from billing.services.revenue import partners


def statement_pdf(partner: Partner, month: date) -> bytes:
    """The statement of the month that begins on that day, as far as its days are closed."""
    return documents.pdf("partner", shown(partner, month))


def shown(partner: Partner, month: date) -> dict[str, Any]:
    """What is on the paper: texts, ready to be set."""
    accruals = partner.accruals.filter(date__year=month.year, date__month=month.month)
    rows = list(
        accruals.values("customer__external_id")
        .annotate(counted=Sum("base"), shared=Sum("amount"))
        .order_by("customer__external_id")
    )
    upto = accruals.order_by("-date").values_list("date", flat=True).first()
    payouts = partner.payouts.filter(upto__year=month.year, upto__month=month.month).order_by("pk")

    coins = places(partner.currency_id)
    counted, shared = (_in_coins([row[name] for row in rows], coins) for name in ("counted", "shared"))

    def money(amount: Decimal) -> str:
        return f"{amount:,.{coins}f}"

    return {
        "title": "Statement",
        "number": f"{partner.code} {month:%Y-%m}",
        "seller": settings.INVOICE_SELLER,
        "buyer": [partner.name],
        "facts": [
            ("Month", f"{month:%B %Y}"),
            ("Closed up to", f"{upto:%-d %b %Y}" if upto else "–"),
            *[
                (f"From {money(step.at_least)}" if step.at_least else "Rate", f"{amount_string(step.rate * 100)} %")
                for step in partners.steps(partner)
            ],
        ],
        "base": partner.get_base_display(),
        "currency": partner.currency_id,
        "lines": [
            {"customer": row["customer__external_id"], "base": money(base), "amount": money(share)}
            for row, base, share in zip(rows, counted, shared, strict=True)
        ],
        "volume": money(exact_sum(counted)),
        "total": money(exact_sum(shared)),
        "after": [(f"Paid out, {payout.reference}", money(payout.amount)) for payout in payouts],
        "note": settings.INVOICE_NOTE,
    }


def _in_coins(amounts: Sequence[Decimal], coins: int) -> list[Decimal]:
    """Each cut from the running sum, so that they add up to what all of them come to."""
    upto = [round_half_even(each, precision=coins) for each in accumulate(amounts, EXACT.add)]
    return [EXACT.subtract(now, before) for before, now in pairwise([ZERO, *upto])]
