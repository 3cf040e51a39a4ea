"""What somebody should look at, on top of the overview: a line for each, in words, with where it is put right."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, ngettext

from accounts import reading
from billing.engine.money import EXACT, exact_sum
from billing.models import Grant
from billing.selectors.customer import attention
from billing.selectors.customer.attention import Found
from billing.selectors.ledger.balances import BalanceNow, OpenGrant
from portal import access, amounts

RUNWAY_DAYS_MIN = 3
EXPIRES_WITHIN = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Matter:
    """``action`` are the words of the link to ``url``; ``urgent``: something stands still, or money hangs on it."""

    title: str
    why: str
    action: str
    url: str
    urgent: bool = True


@dataclass(frozen=True, slots=True)
class Holding:
    """One asset of the wallet: what is in it, its open grants, and how many days it lasts at its pace."""

    balance: BalanceNow
    grants: list[OpenGrant]
    runway_days: int | None


def matters(visit: access.Visit, holdings: Sequence[Holding], now: datetime) -> list[Matter]:
    """What there is that this person's role may see, the urgent first. The link leads to where the role may act."""
    found = attention.found(visit.customer, now)
    listed = [*_payments(visit, found), *_usage(visit, found)]
    for holding in holdings:
        listed += [*_low(visit, found, holding), *_expiring(holding, now)]
    if found.frozen:
        listed.insert(0, _frozen(visit, found))
    return sorted(listed, key=lambda matter: not matter.urgent)


def in_place(found: Sequence[Matter], shown: str) -> list[Matter | None]:
    """The same for a page that has room for ``shown`` lines and is being read: nothing below them may move.

    None stands for a line that is in order now. Where there are more, the last line leads to all of them. A page that
    shows no line, or does not say how many, gets them all: it keeps them folded.
    """
    room = int(shown) if shown.isdecimal() and len(shown) < 3 else 0
    if not room or len(found) <= room:
        return [*found, *[None] * (room - len(found))]
    more = len(found) - room + 1
    title = ngettext("{count} more needs attention", "{count} more need attention", more).format(count=more)
    return [
        *found[: room - 1],
        Matter(title, gettext("New since you opened this page."), gettext("Show all"), reverse("portal:dashboard")),
    ]


def _frozen(visit: access.Visit, found: Found) -> Matter:
    title = gettext("The wallet is frozen and pays for no usage")
    if found.overdue and visit.may("invoices:read"):
        return Matter(
            title,
            gettext("Pay the overdue invoice, or ask whoever runs this."),
            gettext("See the invoices"),
            reverse("portal:invoices"),
        )
    return Matter(title, gettext("Ask whoever runs this."), gettext("See the wallet"), reverse("portal:wallet"))


def _payments(visit: access.Visit, found: Found) -> Iterator[Matter]:
    if visit.may("invoices:read") and found.overdue:
        numbers = ", ".join(invoice.number for invoice in found.overdue)
        count = len(found.overdue)
        yield Matter(
            ngettext("{count} invoice is overdue", "{count} invoices are overdue", count).format(count=count),
            gettext("{numbers}, due {day}").format(numbers=numbers, day=reading.day(found.overdue[0].due_on)),
            gettext("See the invoices"),
            reverse("portal:invoices"),
        )
    if not visit.may("wallet:fund"):
        return
    if found.suspended:
        yield Matter(
            gettext("Automatic top-ups have stopped."),
            gettext("Nothing is charged until you put it right."),
            gettext("Put it right"),
            reverse("portal:auto-top-up"),
        )
    elif found.declined:
        yield Matter(
            gettext("The last automatic top-up was declined"),
            gettext("It is tried again. Keep another card, or pay by hand."),
            gettext("Put it right"),
            reverse("portal:top-up"),
        )
    if found.disputed:
        count = len(found.disputed)
        yield Matter(
            ngettext(
                "{count} payment is disputed at the bank", "{count} payments are disputed at the bank", count
            ).format(count=count),
            gettext("What is left of it cannot be spent until the bank has decided."),
            gettext("See the payment"),
            reverse("portal:paid", args=[found.disputed[0]]),
        )


def _usage(visit: access.Visit, found: Found) -> Iterator[Matter]:
    sees_keys = visit.may("keys:read")
    if sees_keys and found.paused_keys:
        count = len(found.paused_keys)
        yield Matter(
            ngettext("{count} API key is paused", "{count} API keys are paused", count).format(count=count),
            ", ".join(found.paused_keys),
            gettext("Look and resume"),
            reverse("portal:keys"),
        )
    if visit.may("events:read") and found.runaway:
        yield Matter(
            gettext("Spending ran away in the last day"),
            gettext("An hour cost far more than such an hour usually does."),
            gettext("See the usage"),
            reverse("portal:usage"),
        )
    if visit.may("disputes:read") and found.cases:
        count = found.cases
        yield Matter(
            ngettext(
                "{count} disputed charge waits for an answer", "{count} disputed charges wait for an answer", count
            ).format(count=count),
            gettext("We look into it."),
            gettext("See the cases"),
            reverse("portal:disputes"),
            urgent=False,
        )


def _low(visit: access.Visit, found: Found, holding: Holding) -> Iterator[Matter]:
    """Of the wallet's own currency, and of whatever else an alert watches."""
    balance, days = holding.balance, holding.runway_days
    own = balance.asset == visit.customer.currency_id and balance.lifetime_granted > 0
    spent_up = EXACT.add(balance.available, balance.overdraft_limit) <= 0
    short = days is not None and days < RUNWAY_DAYS_MIN and balance.asset not in found.refilled
    if not (balance.asset in found.low or (own and (spent_up or short))):
        return
    name = amounts.look(balance.asset).name
    action, page = gettext("See the wallet"), "portal:wallet"
    if visit.may("wallet:fund"):
        action, page = gettext("Top up"), "portal:top-up"
    if spent_up:
        title = gettext("Nothing is left to spend: {asset}").format(asset=name)
        yield Matter(title, gettext("Usage is refused until value comes in."), action, reverse(page))
        return
    left = amounts.text(balance.available, balance.asset)
    why = gettext("{left} left.").format(left=left)
    if days is not None:
        lasts = ngettext("It lasts {days} day at this pace.", "It lasts {days} days at this pace.", days)
        why = f"{why} {lasts.format(days=days)}"
    yield Matter(gettext("Running low: {asset}").format(asset=name), why, action, reverse(page), urgent=short)


def _expiring(holding: Holding, now: datetime) -> Iterator[Matter]:
    """What lapses soon and is not given anew by itself."""
    ending: list[tuple[datetime, Decimal]] = [
        (grant.expires_at, grant.remaining)
        for grant in holding.grants
        if grant.expires_at is not None
        and grant.expires_at - now <= EXPIRES_WITHIN
        and grant.remaining > 0
        and grant.kind not in Grant.RENEWED
    ]
    if ending:
        much = amounts.text(exact_sum(amount for _, amount in ending), holding.balance.asset)
        first = timezone.localtime(min(moment for moment, _ in ending))
        yield Matter(
            gettext("{much} expires within 7 days").format(much=much),
            gettext("The first of it on {moment}. Spend it before.").format(
                moment=f"{reading.day_of_year(first)}, {first:%H:%M}"
            ),
            gettext("See the wallet"),
            reverse("portal:wallet"),
            urgent=False,
        )
