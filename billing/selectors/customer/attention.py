"""What a customer's people should look at: what stops, what failed, what ran away, what is overdue."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Exists, QuerySet
from django.utils import timezone

from accounts.models import ApiKey
from billing.models import (
    Alert,
    AutoTopUp,
    ChargeDispute,
    Collection,
    Customer,
    Dispute,
    Invoice,
    SpendAnomaly,
    Wallet,
)
from billing.selectors.invoicing import invoices

RECENT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Found:
    """What there is of it. Assets are codes, ``disputed`` are top-ups whose payers' banks want them back."""

    frozen: bool
    low: frozenset[str]
    """Assets of which an alert of the customer's own is crossed."""
    refilled: frozenset[str]
    """Assets that an automatic top-up watches, and can buy."""
    suspended: bool
    declined: bool
    paused_keys: list[str]
    runaway: bool
    disputed: list[UUID]
    cases: int
    overdue: list[Invoice]


def found(customer: Customer, now: datetime) -> Found:
    """What there is now, in one statement; two more where an invoice is past its day, to see what of it is paid."""
    orders = AutoTopUp.objects.filter(customer=customer, enabled=True)
    armed = orders.filter(state=AutoTopUp.State.ARMED)
    alerts = Alert.objects.filter(customer=customer, removed_at=None, level__gt=0)
    keys = ApiKey.objects.filter(organization=customer.organization_id, revoked_at=None, paused_at__isnull=False)
    anomalies = SpendAnomaly.objects.filter(customer=customer, hour__gte=now - RECENT)
    disputes = Dispute.objects.filter(customer=customer, status__in=Dispute.UNDECIDED)
    late = _past_their_day(customer, now)
    row = Wallet.objects.values_list(
        "frozen_at",
        ArraySubquery(alerts.filter(kind__in=[Alert.Kind.BALANCE_BELOW, Alert.Kind.RUNWAY_BELOW]).values("asset_id")),
        ArraySubquery(armed.filter(purpose=AutoTopUp.Purpose.AUTO_TOP_UP, declines=0).values("asset_id")),
        Exists(orders.filter(state=AutoTopUp.State.SUSPENDED)),
        Exists(armed.filter(declines__gt=0)),
        ArraySubquery(keys.order_by("paused_at", "id").values("name")),
        Exists(anomalies.filter(level=SpendAnomaly.Level.RUNAWAY)),
        ArraySubquery(disputes.order_by("id").values("top_up_id")),
        ArraySubquery(ChargeDispute.objects.filter(customer=customer, status="open").order_by().values("id")),
        Exists(late),
    ).get(customer=customer)
    frozen_at, low, refilled, suspended, declined, paused, runaway, disputed, cases, any_late = row
    return Found(
        frozen=frozen_at is not None,
        low=frozenset(low),
        refilled=frozenset(refilled),
        suspended=suspended,
        declined=declined,
        paused_keys=paused,
        runaway=runaway,
        disputed=disputed,
        cases=len(cases),
        overdue=_overdue(list(late)) if any_late else [],
    )


def _past_their_day(customer: Customer, now: datetime) -> QuerySet[Invoice]:
    rows = Invoice.objects.filter(
        customer=customer, collection__state=Collection.State.OPEN, due_on__lt=timezone.localdate(now)
    )
    return rows.select_related("collection").order_by("due_on", "id")


def _overdue(late: list[Invoice]) -> list[Invoice]:
    """Those of them that are not paid from the wallet since."""
    paid = invoices.paid(late)
    return [invoice for invoice in late if invoices.overdue(invoice, paid[invoice.pk])]
