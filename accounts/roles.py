"""Which role may do what for its organization: one table, read top to bottom.

Scopes that an API key can have as well are called by the same names. A member gives a key no scope that the member does
not have.
"""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.models import Role

OWNER, ADMIN, DEVELOPER, BILLING, VIEWER = Role.OWNER, Role.ADMIN, Role.DEVELOPER, Role.BILLING, Role.VIEWER

# scope: (what it lets one do, who has it)
SCOPES: dict[str, tuple[Promise, frozenset[str]]] = {
    "wallets:read": (
        _("See balances, grants and the statement"),
        frozenset({OWNER, ADMIN, DEVELOPER, BILLING, VIEWER}),
    ),
    "events:read": (_("See usage"), frozenset({OWNER, ADMIN, DEVELOPER, BILLING, VIEWER})),
    "catalog:read": (_("See plans and prices"), frozenset({OWNER, ADMIN, DEVELOPER, BILLING, VIEWER})),
    "invoices:read": (_("See invoices"), frozenset({OWNER, ADMIN, BILLING, VIEWER})),
    "team:read": (_("See who is in the team"), frozenset({OWNER, ADMIN, DEVELOPER, BILLING, VIEWER})),
    "events:write": (_("Record usage, with a key"), frozenset({OWNER, ADMIN, DEVELOPER})),
    "authorizations:write": (_("Set value aside for work, with a key"), frozenset({OWNER, ADMIN, DEVELOPER})),
    "keys:read": (_("See API keys"), frozenset({OWNER, ADMIN, DEVELOPER})),
    "keys:write": (_("Make, renew and revoke API keys"), frozenset({OWNER, ADMIN, DEVELOPER})),
    "webhooks:read": (_("See webhooks"), frozenset({OWNER, ADMIN, DEVELOPER})),
    "webhooks:write": (_("Name, test and remove webhooks"), frozenset({OWNER, ADMIN, DEVELOPER})),
    "wallet:fund": (_("Top up; change payment methods and auto top-up"), frozenset({OWNER, ADMIN, BILLING})),
    "limits:write": (_("Set budgets, spending limits and alerts"), frozenset({OWNER, ADMIN, BILLING})),
    "disputes:read": (
        _("See which charges are disputed"),
        frozenset({OWNER, ADMIN, DEVELOPER, BILLING, VIEWER}),
    ),
    "disputes:write": (_("Dispute charges"), frozenset({OWNER, ADMIN, BILLING})),
    "audit:read": (_("See who changed what"), frozenset({OWNER, ADMIN, BILLING})),
    "team:write": (_("Invite and remove people, change their roles"), frozenset({OWNER, ADMIN})),
    "security:write": (_("Change from which addresses access is allowed"), frozenset({OWNER, ADMIN})),
    "sign_on:write": (_("Set up single sign-on"), frozenset({OWNER})),
    "privacy:write": (_("Take out or erase all that is kept about the organization"), frozenset({OWNER})),
    "owners:write": (_("Make somebody an owner, or end that"), frozenset({OWNER})),
}


def scopes_of(role: str) -> frozenset[str]:
    """All that a role may do."""
    return frozenset(scope for scope, (_does, roles) in SCOPES.items() if role in roles)


def may(role: str, scope: str) -> bool:
    """Whether a role may do this. A scope that is not in the table is a mistake of ours: ``KeyError``."""
    return role in SCOPES[scope][1]
