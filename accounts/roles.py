"""Which role may do what for its organization: one table, read top to bottom.

Scopes that an API key can have as well are called by the same names. A member gives a key no scope that the member does
not have.
"""

from accounts.models import Role

OWNER, ADMIN, DEVELOPER, BILLING, VIEWER = Role.OWNER, Role.ADMIN, Role.DEVELOPER, Role.BILLING, Role.VIEWER

# scope: (what it lets one do, who has it)
SCOPES: dict[str, tuple[str, frozenset[str]]] = {
    "wallets:read": (
        "See balances, grants and the statement",
        frozenset({OWNER, ADMIN, DEVELOPER, BILLING, VIEWER}),
    ),
    "events:read": ("See usage", frozenset({OWNER, ADMIN, DEVELOPER, BILLING, VIEWER})),
    "catalog:read": ("See plans and prices", frozenset({OWNER, ADMIN, DEVELOPER, BILLING, VIEWER})),
    "invoices:read": ("See invoices", frozenset({OWNER, ADMIN, BILLING, VIEWER})),
    "team:read": ("See who is in the team", frozenset({OWNER, ADMIN, DEVELOPER, BILLING, VIEWER})),
    "events:write": ("Record usage, with a key", frozenset({OWNER, ADMIN, DEVELOPER})),
    "authorizations:write": ("Set value aside for work, with a key", frozenset({OWNER, ADMIN, DEVELOPER})),
    "keys:read": ("See API keys", frozenset({OWNER, ADMIN, DEVELOPER})),
    "keys:write": ("Make, renew and revoke API keys", frozenset({OWNER, ADMIN, DEVELOPER})),
    "webhooks:read": ("See webhooks", frozenset({OWNER, ADMIN, DEVELOPER})),
    "webhooks:write": ("Name, test and remove webhooks", frozenset({OWNER, ADMIN, DEVELOPER})),
    "wallet:fund": ("Top up; change payment methods and auto top-up", frozenset({OWNER, ADMIN, BILLING})),
    "limits:write": ("Set budgets, spending limits and alerts", frozenset({OWNER, ADMIN, BILLING})),
    "disputes:read": (
        "See which charges are disputed",
        frozenset({OWNER, ADMIN, DEVELOPER, BILLING, VIEWER}),
    ),
    "disputes:write": ("Dispute charges", frozenset({OWNER, ADMIN, BILLING})),
    "audit:read": ("See who changed what", frozenset({OWNER, ADMIN, BILLING})),
    "team:write": ("Invite and remove people, change their roles", frozenset({OWNER, ADMIN})),
    "security:write": ("Change from which addresses access is allowed", frozenset({OWNER, ADMIN})),
    "privacy:write": ("Take out or erase all that is kept about the organization", frozenset({OWNER})),
    "owners:write": ("Make somebody an owner, or end that", frozenset({OWNER})),
}


def scopes_of(role: str) -> frozenset[str]:
    """All that a role may do."""
    return frozenset(scope for scope, (_, roles) in SCOPES.items() if role in roles)


def may(role: str, scope: str) -> bool:
    """Whether a role may do this. A scope that is not in the table is a mistake of ours: ``KeyError``."""
    return role in SCOPES[scope][1]
