"""Subscriptions: which plan a customer is on, from when, on which terms, and what becomes due as time goes by."""

from billing.services.subscriptions.changing import change, preview
from billing.services.subscriptions.commitments import CommitmentNow, commitments_now
from billing.services.subscriptions.ending import cancel, reactivate
from billing.services.subscriptions.moving import Moved, MovePlan, agree_to_move, move, preview_move
from billing.services.subscriptions.renewal import collect, collect_due, renew, renew_due, settle_due
from billing.services.subscriptions.starting import Started, choose, preview_start, start
from billing.services.subscriptions.unused import FeeLine
from billing.services.subscriptions.wanted import Change, Wanted

__all__ = [
    "Change",
    "CommitmentNow",
    "FeeLine",
    "MovePlan",
    "Moved",
    "Started",
    "Wanted",
    "agree_to_move",
    "cancel",
    "change",
    "choose",
    "collect",
    "collect_due",
    "commitments_now",
    "move",
    "preview",
    "preview_move",
    "preview_start",
    "reactivate",
    "renew",
    "renew_due",
    "settle_due",
    "start",
]
