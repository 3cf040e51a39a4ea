"""Who may sign in to a demonstration. Plain data: the seed makes these people, the sign-in page lists them.

Their second factor is the same for all and printed beside it. It is accepted only while ANTE_DEMO is set, and only for
these people; their true secrets are random and known to nobody.
"""

from dataclasses import dataclass

from django.conf import settings

DEMO_PASSWORD = "ante-demo-2026"  # noqa: S105 - shown on the sign-in page; demonstrations hold no real money.
DEMO_CODE = "000000"


@dataclass(frozen=True, slots=True)
class DemoSignIn:
    """``organization`` is the external id of the customer they act for; None for staff of the operator.

    ``role`` is the member's role, or the staff's group.
    """

    email: str
    role: str
    organization: str | None
    title: str


DEMO_SIGN_INS = [
    DemoSignIn("owner@northwind.test", "owner", "northwind", "Owner at Northwind"),
    DemoSignIn("owner@acme.test", "owner", "acme", "Owner at Acme"),
    DemoSignIn("admin@acme.test", "admin", "acme", "Admin at Acme"),
    DemoSignIn("developer@acme.test", "developer", "acme", "Developer at Acme"),
    DemoSignIn("billing@acme.test", "billing", "acme", "Billing at Acme"),
    DemoSignIn("viewer@acme.test", "viewer", "acme", "Viewer at Acme"),
    DemoSignIn("admin@ante.test", "Administrator", None, "Administrator, back office"),
    DemoSignIn("finance@ante.test", "Finance", None, "Finance, back office"),
    DemoSignIn("support@ante.test", "Support", None, "Support, back office"),
    DemoSignIn("auditor@ante.test", "Auditor", None, "Auditor, back office, reads only"),
]
_PEOPLE = {person.email for person in DEMO_SIGN_INS}


def accepts(email: str, code: str) -> bool:
    """Whether this is the demonstration's second factor of one of its people. Never outside a demonstration."""
    return settings.DEMO and email in _PEOPLE and code == DEMO_CODE


def is_published(password: str) -> bool:
    """Whether it is the password that everybody knows, outside a demonstration: what was seeded in one may be there."""
    return not settings.DEMO and password == DEMO_PASSWORD
