"""What the workers run. Each task finds its work in the database, calls one service, and may safely run twice."""

from celery import shared_task

from billing.gateways import event_stream
from billing.services import authorizations, grants, heartbeat, outbox


@shared_task(name="billing.settle_due_grants")
def settle_due_grants() -> None:
    """Expire what has lapsed and start what is due, through the ledger."""
    grants.settle_due()


@shared_task(name="billing.expire_authorizations")
def expire_authorizations() -> None:
    """Give back what authorizations hold whose time is over."""
    authorizations.expire_due()


@shared_task(name="billing.relay_outbox")
def relay_outbox() -> None:
    """Hand the outbox to whoever listens on the event stream."""
    outbox.relay(event_stream.append)


@shared_task(name="billing.note_worker_alive")
def note_worker_alive() -> None:
    """Leave a sign of life where ``/readyz`` looks for it."""
    heartbeat.beat()
