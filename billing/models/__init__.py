"""One file per aggregate. Every row that belongs to a customer bears ``customer``: the tables can be sharded by it."""

from billing.models.alerts import (
    Alert,
    CommitmentTold,
    ExpiryTold,
    Notice,
    NoticeDelivery,
    NoticePreference,
    NoticeTarget,
)
from billing.models.anomalies import SpendAnomaly, SpendWatch
from billing.models.approvals import Approval, ManualMovement
from billing.models.assets import Asset
from billing.models.authorizations import Authorization, Hold
from billing.models.auto_top_ups import AutoTopUp
from billing.models.book_checks import BookCheck
from billing.models.budgets import Budget, BudgetCounter
from billing.models.catalog import Allowance, Meter, Plan, PlanDraft, PlanVersion, Price, Tier
from billing.models.charge_disputes import ChargeDispute, DisputedEvent
from billing.models.corrections import Correction
from billing.models.costs import CostVersion, Overhead, ProviderCost
from billing.models.customers import Customer
from billing.models.disputes import Dispute
from billing.models.exports import ExportFile
from billing.models.fair_use import FairUse, FairUseCounter
from billing.models.funding import Pack, Refund, TopUp
from billing.models.idempotency import IdempotencyRecord
from billing.models.invoices import Collection, Invoice, InvoiceLine, InvoicePayment, InvoiceSeries, InvoiceTax
from billing.models.ledger import Account, EntryKind, LedgerEntry, LedgerTransaction
from billing.models.notes import Note
from billing.models.outbox import OutboxEvent
from billing.models.partners import Partner, PartnerAccrual, PartnerCustomer, PartnerPayout
from billing.models.payments import PaymentAttempt, PaymentMethod, PaymentProfile, ProviderEvent
from billing.models.reconciliation import Discrepancy, Reconciliation
from billing.models.recurring_grants import RecurringGrant, RecurringGrantPeriod
from billing.models.revenue import AccountMapping, Obligation, Recognition, RevenueDay, RevenueTotal
from billing.models.rollups import RollupMark, UsageDay, UsageDaySum, UsageRollup, UsageTotal
from billing.models.seals import Seal
from billing.models.subscriptions import Fee, Subscription, SubscriptionPeriod, SubscriptionPhase
from billing.models.taxes import TaxProfile, TaxRule
from billing.models.unpaid import UnpaidUsage
from billing.models.usage import Charge, CountedValue, UsageCounter, UsageEvent
from billing.models.wallets import Balance, Grant, Wallet
from billing.models.webhooks import WebhookDelivery, WebhookEndpoint
from billing.models.what_if import WhatIfRun

__all__ = [
    "Account",
    "AccountMapping",
    "Alert",
    "Allowance",
    "Approval",
    "Asset",
    "Authorization",
    "AutoTopUp",
    "Balance",
    "BookCheck",
    "Budget",
    "BudgetCounter",
    "Charge",
    "ChargeDispute",
    "Collection",
    "CommitmentTold",
    "Correction",
    "CostVersion",
    "CountedValue",
    "Customer",
    "Discrepancy",
    "Dispute",
    "DisputedEvent",
    "EntryKind",
    "ExpiryTold",
    "ExportFile",
    "FairUse",
    "FairUseCounter",
    "Fee",
    "Grant",
    "Hold",
    "IdempotencyRecord",
    "Invoice",
    "InvoiceLine",
    "InvoicePayment",
    "InvoiceSeries",
    "InvoiceTax",
    "LedgerEntry",
    "LedgerTransaction",
    "ManualMovement",
    "Meter",
    "Note",
    "Notice",
    "NoticeDelivery",
    "NoticePreference",
    "NoticeTarget",
    "Obligation",
    "OutboxEvent",
    "Overhead",
    "Pack",
    "Partner",
    "PartnerAccrual",
    "PartnerCustomer",
    "PartnerPayout",
    "PaymentAttempt",
    "PaymentMethod",
    "PaymentProfile",
    "Plan",
    "PlanDraft",
    "PlanVersion",
    "Price",
    "ProviderCost",
    "ProviderEvent",
    "Recognition",
    "Reconciliation",
    "RecurringGrant",
    "RecurringGrantPeriod",
    "Refund",
    "RevenueDay",
    "RevenueTotal",
    "RollupMark",
    "Seal",
    "SpendAnomaly",
    "SpendWatch",
    "Subscription",
    "SubscriptionPeriod",
    "SubscriptionPhase",
    "TaxProfile",
    "TaxRule",
    "Tier",
    "TopUp",
    "UnpaidUsage",
    "UsageCounter",
    "UsageDay",
    "UsageDaySum",
    "UsageEvent",
    "UsageRollup",
    "UsageTotal",
    "Wallet",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WhatIfRun",
]
