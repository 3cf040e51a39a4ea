"""One file per aggregate. Every row that belongs to a customer bears ``customer``: the tables can be sharded by it."""

from billing.models.assets import Asset
from billing.models.authorizations import Authorization, Hold
from billing.models.catalog import Meter, Plan, PlanVersion, Price
from billing.models.costs import CostVersion, Overhead, ProviderCost
from billing.models.customers import Customer
from billing.models.idempotency import IdempotencyRecord
from billing.models.ledger import Account, EntryKind, LedgerEntry, LedgerTransaction
from billing.models.outbox import OutboxEvent
from billing.models.seals import Seal
from billing.models.subscriptions import Subscription
from billing.models.usage import Charge, UsageCounter, UsageEvent
from billing.models.wallets import Balance, Grant, Wallet

__all__ = [
    "Account",
    "Asset",
    "Authorization",
    "Balance",
    "Charge",
    "CostVersion",
    "Customer",
    "EntryKind",
    "Grant",
    "Hold",
    "IdempotencyRecord",
    "LedgerEntry",
    "LedgerTransaction",
    "Meter",
    "OutboxEvent",
    "Overhead",
    "Plan",
    "PlanVersion",
    "Price",
    "ProviderCost",
    "Seal",
    "Subscription",
    "UsageCounter",
    "UsageEvent",
    "Wallet",
]
