"""The alerts that every new customer begins with: the operator's ``DEFAULT_ALERTS``.

They are alerts like any other from then on: the customer sees them, removes them and adds others.
"""

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation

from django.conf import settings

from accounts.services import audit
from billing.engine.money import amount_string
from billing.errors import InvalidRequest
from billing.models import Alert, Customer
from billing.services.alerts import managing

OF: dict[str, str] = {
    Alert.Kind.BALANCE_BELOW: Alert.Of.LAST_TOP_UP,
    Alert.Kind.RUNWAY_BELOW: Alert.Of.DAYS,
    Alert.Kind.GRANT_EXPIRING: Alert.Of.DAYS,
    Alert.Kind.COMMITMENT_USED: Alert.Of.COMMITMENT,
}
"""What can be a default, and what its thresholds are: the same for every customer, so no amounts."""


def add(*, actor: audit.Actor, customer: Customer) -> list[Alert]:
    """Give the customer the default alerts, in the caller's transaction."""
    return [
        managing.create(actor=actor, customer=customer, kind=kind, of=OF[kind], at=thresholds)
        for kind, thresholds in _defaults()
    ]


def shown() -> list[Alert]:
    """The default alerts as a page shows them; they are nobody's and not saved."""
    return [Alert(kind=kind, of=OF[kind], at=list(map(amount_string, at))) for kind, at in _defaults()]


def wrong() -> str:
    """What is wrong with the setting, in words; empty where nothing is."""
    try:
        for kind, thresholds in _defaults():
            managing.check(kind=kind, of=OF[kind], at=thresholds)
    except KeyError as error:
        return f"{error.args[0]} is none of {', '.join(OF)}."
    except InvalidOperation:
        return "A threshold is not a number."
    except InvalidRequest as error:
        return str(error)
    return ""


def _defaults() -> Iterator[tuple[str, list[Decimal]]]:
    for kind, thresholds in settings.DEFAULT_ALERTS.items():
        yield kind, [Decimal(threshold) for threshold in thresholds.split()]
