"""Who may sign in to a demonstration. Plain data: the seed makes these people, the sign-in page lists them."""

from dataclasses import dataclass

DEMO_PASSWORD = "ante-demo-2026"  # noqa: S105 - shown on the sign-in page; demonstrations hold no real money.


@dataclass(frozen=True, slots=True)
class DemoSignIn:
    """``organization`` is the external id of the customer they act for; None for staff of the operator."""

    email: str
    role: str
    organization: str | None
    title: str


DEMO_SIGN_INS = [
    DemoSignIn("owner@northwind.test", "owner", "northwind", "Owner at Northwind"),
    DemoSignIn("owner@acme.test", "owner", "acme", "Owner at Acme"),
    DemoSignIn("viewer@acme.test", "viewer", "acme", "Viewer at Acme"),
    DemoSignIn("finance@ante.test", "staff", None, "Finance, back office"),
]
