"""What the workers run. Each task finds its work in the database, calls one service, and may safely run twice."""

from collections.abc import Sequence

from celery import Task, shared_task
from celery.signals import task_postrun, task_prerun, worker_ready

from billing.gateways import anchors, event_stream
from billing.models import OutboxEvent
from billing.services import (
    alerts,
    approvals,
    authorizations,
    budgets,
    exports,
    heartbeat,
    notices,
    outbox,
    plan_moves,
    revenue,
    subscriptions,
)
from billing.services.alerts import anomalies
from billing.services.catalog import what_if_runs
from billing.services.customer import erasures, privacy
from billing.services.funding import attempts, automatic, disputes, inbox, reconciliation, refunds
from billing.services.invoicing import dunning, invoices, voiding
from billing.services.ledger import book_checks, seals
from billing.services.ledger.book import AUTO_TOP_UPS
from billing.services.revenue import partners
from billing.services.subscriptions import overage
from billing.services.usage import levels, rollups, unpaid
from billing.services.wallet import grants, recurring
from billing.services.webhooks import feeding, sending


@shared_task(name="billing.settle_due_grants")
def settle_due_grants() -> None:
    """Expire what has lapsed and start what is due, through the ledger."""
    grants.settle_due()


@shared_task(name="billing.expire_authorizations")
def expire_authorizations() -> None:
    """Give back what authorizations hold whose time is over."""
    authorizations.expire_due()


@shared_task(name="billing.renew_subscriptions")
def renew_subscriptions() -> None:
    """Open the billing periods that have come, collect what is due, and settle the periods that are over.

    What recurs beside plans is granted first, so that fees can be paid from it.
    """
    recurring.issue_due()
    subscriptions.renew_due()
    subscriptions.collect_due()
    levels.end_due()
    subscriptions.settle_due()
    overage.lower_due()


@shared_task(name="billing.collect_unpaid_usage")
def collect_unpaid_usage() -> None:
    """Charge the events that were kept unpaid, where the wallet can pay them by now."""
    unpaid.collect_due()


@shared_task(name=inbox.TASK)
def process_payment_events() -> None:
    """Work through what the payment provider reported."""
    inbox.work()


@shared_task(name="billing.settle_payments")
def settle_payments() -> None:
    """Ask the payment provider about payments, refunds and disputes that it was to report and did not."""
    attempts.settle_due()
    refunds.settle_due()
    disputes.settle_due()


@shared_task(name="billing.reconcile_payments", time_limit=3600)
def reconcile_payments() -> None:
    """Compare our books with the provider's, once a day."""
    reconciliation.run_daily()


@shared_task(name=AUTO_TOP_UPS)
def run_auto_top_ups() -> None:
    """Top up what has run low, and what is due at fixed times."""
    automatic.run_due()


@shared_task(name="billing.work_what_ifs", time_limit=3600)
def work_what_ifs() -> None:
    """Go on with the replays that the back office asked for."""
    what_if_runs.work()


@shared_task(name="billing.roll_up_usage", time_limit=12 * 3600)
def roll_up_usage() -> None:
    """Add what was used since the last time to the sums by the hour, and see whether it is far more than usual.

    The first time over a long history takes long.
    """
    rollups.roll_up()
    anomalies.watch()


@shared_task(name="billing.sum_usage_days", time_limit=12 * 3600)
def sum_usage_days() -> None:
    """Sum the hours of days that are over, for customers of whom an hour has many lines.

    The first time over a long history takes long.
    """
    rollups.sum_days()


@shared_task(name="billing.expire_approvals")
def expire_approvals() -> None:
    """Let lapse what nobody decided on in time."""
    approvals.expire_due()


@shared_task(name="billing.finish_plan_moves", time_limit=3600)
def finish_plan_moves() -> None:
    """Go on with approved moves of whole plans that were cut off."""
    plan_moves.finish_due()


@shared_task(name="billing.forget_old", time_limit=3600)
def forget_old() -> None:
    """Forget what is kept for a while only."""
    privacy.forget_old()


@shared_task(name=privacy.TASK)
def forget_elsewhere() -> None:
    """Ask the payment provider to forget who was erased here, and see to it that a restored backup forgets them."""
    privacy.settle_due()
    erasures.keep()


@shared_task(name="billing.watch_balances")
def watch_balances() -> None:
    """Tell of balances that fell below what alerts name, and of budgets that have begun anew."""
    alerts.watch_balances()
    budgets.reset_due()


@shared_task(name="billing.watch_ahead")
def watch_ahead() -> None:
    """Tell of what will run out or expire soon."""
    alerts.watch_runways()
    alerts.watch_expiries()


@shared_task(name="billing.watch_commitments")
def watch_commitments() -> None:
    """Tell how far commitments are used."""
    alerts.watch_commitments()


@shared_task(name="billing.send_notices")
def send_notices() -> None:
    """Address new notices to people, and send what is due by e-mail, telephone and chat."""
    notices.send_codes()
    notices.address()
    notices.send_due()


@shared_task(name="billing.relay_outbox")
def relay_outbox() -> None:
    """Hand the outbox to webhook endpoints that want it, and to whoever listens on the event stream."""
    outbox.relay(_hand_on)


def _hand_on(messages: Sequence[OutboxEvent]) -> None:
    feeding.feed(messages)
    try:
        event_stream.append(messages)
    except event_stream.UNREACHABLE as error:
        raise outbox.Unreachable(str(error)) from error


@shared_task(name="billing.send_webhooks")
def send_webhooks() -> None:
    """Send what endpoints are to be told."""
    sending.send_due()


@worker_ready.connect
def note_worker_ready(**_: object) -> None:
    """The first sign of life."""
    heartbeat.ready()


@task_prerun.connect
def note_start(task: Task[..., None], **_: object) -> None:
    """So that people see when each task ran last: see ``heartbeat``."""
    heartbeat.started(task.name)


@task_postrun.connect
def note_end(task: Task[..., None], retval: object, **_: object) -> None:
    """And how that ended."""
    heartbeat.ended(task.name, type(retval).__name__ if isinstance(retval, Exception) else "")


@shared_task(name="billing.note_worker_alive")
def note_worker_alive() -> None:
    """Leave a sign of life where ``/readyz`` looks for it."""
    heartbeat.beat()


@shared_task(name="billing.seal_ledger", time_limit=12 * 3600)
def seal_ledger() -> None:
    """Seal what was committed since the last time, and note the newest seal outside of the database.

    The first time over books that are large already takes long: two to three minutes for a million events.
    """
    head = seals.seal()
    if head is not None:
        anchors.note(head)


@shared_task(name="billing.close_days", time_limit=12 * 3600)
def close_days() -> None:
    """Close the days of the books that are over, also those that were missed, and accrue what partners get of them."""
    revenue.close_due()
    partners.accrue_due()


@shared_task(name="billing.check_books", time_limit=12 * 3600)
def check_books() -> None:
    """Look at the books by themselves: hourly at what is quick, nightly at every row."""
    book_checks.run_due()


@shared_task(name="billing.export_files", time_limit=12 * 3600)
def export_files() -> None:
    """Deliver the journals of closed days, and what was written since the last time, to where the operator wants them.

    The first time over a long history takes long.
    """
    exports.plan_journals()
    exports.plan_warehouse()
    exports.deliver_due()


@shared_task(name="billing.issue_invoices", time_limit=3600)
def issue_invoices() -> None:
    """Put on paper what customers owe for the period that is over."""
    invoices.issue_due()


@shared_task(name="billing.collect_invoices", time_limit=3600)
def collect_invoices() -> None:
    """Take back the invoices that are to be voided; charge, remind of and close those that are open."""
    voiding.finish_due()
    dunning.run_due()
