"""Celery: which work is looked for how often."""

from typing import Any

from kombu import Exchange, Queue

from billing.config.settings.environment import REDIS_URL, env

# The broker carries wake-ups, never the only copy of a fact: every task finds its work in the database, and a sweep
# each minute finds what a lost wake-up left. Hence no result backend and no far-away ETAs.
CELERY_BROKER_URL: str = env.str("CELERY_BROKER_URL", default=REDIS_URL)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_TIME_LIMIT = 300
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TIMEZONE = "UTC"
CELERY_TASK_QUEUES = [Queue(name, Exchange(name), routing_key=name) for name in ("celery", "webhooks")]
CELERY_TASK_ROUTES = {"billing.send_webhooks": {"queue": "webhooks"}}
"""What waits for the servers of strangers has workers of its own: they hold up nothing but themselves. A worker that is
told of no queue (``-Q``) takes from both."""
WAKE_UP_KEPT_SECONDS = 60.0


def _every(seconds: float, task: str) -> dict[str, Any]:
    """Wake-ups that no worker takes up in time are dropped: the later ones find the same work, and the queue stays
    short however long workers are busy. A minute at least, for clocks that differ."""
    return {"task": task, "schedule": seconds, "options": {"expires": max(seconds, WAKE_UP_KEPT_SECONDS)}}


CELERY_BEAT_SCHEDULE = {
    "settle-due-grants": _every(60.0, "billing.settle_due_grants"),
    "expire-authorizations": _every(15.0, "billing.expire_authorizations"),
    "renew-subscriptions": _every(15.0, "billing.renew_subscriptions"),
    "collect-unpaid-usage": _every(5.0, "billing.collect_unpaid_usage"),
    "watch-balances": _every(10.0, "billing.watch_balances"),
    "watch-ahead": _every(60.0, "billing.watch_ahead"),
    "watch-commitments": _every(300.0, "billing.watch_commitments"),
    "send-notices": _every(5.0, "billing.send_notices"),
    "relay-outbox": _every(5.0, "billing.relay_outbox"),
    "roll-up-usage": _every(5.0, "billing.roll_up_usage"),
    "sum-usage-days": _every(600.0, "billing.sum_usage_days"),
    "send-webhooks": _every(5.0, "billing.send_webhooks"),
    "seal-ledger": _every(3600.0, "billing.seal_ledger"),
    "process-payment-events": _every(15.0, "billing.process_payment_events"),
    "settle-payments": _every(20.0, "billing.settle_payments"),
    "reconcile-payments": _every(1800.0, "billing.reconcile_payments"),
    "run-auto-top-ups": _every(15.0, "billing.run_auto_top_ups"),
    "send-mail": _every(10.0, "accounts.send_mail"),
    "work-what-ifs": _every(5.0, "billing.work_what_ifs"),
    "expire-approvals": _every(60.0, "billing.expire_approvals"),
    "finish-plan-moves": _every(300.0, "billing.finish_plan_moves"),
    "collect-invoices": _every(600.0, "billing.collect_invoices"),
    "issue-invoices": _every(3600.0, "billing.issue_invoices"),
    "check-books": _every(600.0, "billing.check_books"),
    "export-files": _every(300.0, "billing.export_files"),
    "close-days": _every(60.0, "billing.close_days"),
    "forget-old": _every(24 * 3600.0, "billing.forget_old"),
    "forget-elsewhere": _every(300.0, "billing.forget_elsewhere"),
    "beat-alive": _every(15.0, "billing.note_worker_alive"),
}
