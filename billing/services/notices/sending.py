"""Sending notices by e-mail: claimed first, sent outside of any transaction, tried again later and later."""

import logging
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.template.loader import render_to_string
from django.utils import timezone

from billing.models import NoticeDelivery, TopUp
from billing.services import documents

BATCH = 50
ATTEMPTS_MAX = 12
FIRST_DELAY_SECONDS = 30
DELAY_MAX_SECONDS = 3600

logger = logging.getLogger(__name__)


def send_due() -> int:
    """Send what is due, oldest first. Returns how many went out. Safe to run twice and at the same time.

    A crash between sending and noting it sends again, under the same Message-ID.
    """
    due = NoticeDelivery.objects.filter(state=NoticeDelivery.State.DUE, due_at__lte=timezone.now())
    return sum(_send(pk) for pk in list(due.order_by("due_at").values_list("pk", flat=True)[:BATCH]))


def _send(pk: UUID) -> bool:
    delivery = _claim(pk)
    if delivery is None:
        return False
    try:
        _mail(delivery).send()
    except Exception as error:
        logger.warning("The notice %s could not be sent: %s", delivery.pk, type(error).__name__)
        delivery.last_error = type(error).__name__[:200]
        if delivery.attempts >= ATTEMPTS_MAX:
            delivery.state = NoticeDelivery.State.FAILED
        delivery.save(update_fields=["last_error", "state"])
        return False
    delivery.state, delivery.sent_at, delivery.last_error = NoticeDelivery.State.SENT, timezone.now(), ""
    delivery.save(update_fields=["state", "sent_at", "last_error"])
    return True


def _claim(pk: UUID) -> NoticeDelivery | None:
    """The delivery, not due again for a while, so that no two workers send it."""
    with transaction.atomic():
        waiting = NoticeDelivery.objects.select_for_update(skip_locked=True, of=("self",)).filter(
            pk=pk, state=NoticeDelivery.State.DUE, due_at__lte=timezone.now()
        )
        delivery = waiting.select_related("notice", "customer", "user").first()
        if delivery is None:
            return None
        delivery.attempts += 1
        delay = min(FIRST_DELAY_SECONDS * 2 ** (delivery.attempts - 1), DELAY_MAX_SECONDS)
        delivery.due_at = timezone.now() + timedelta(seconds=delay)
        delivery.save(update_fields=["attempts", "due_at"])
    return delivery


def _mail(delivery: NoticeDelivery) -> EmailMultiAlternatives:
    recipient = delivery.user.email if delivery.user is not None else delivery.customer.email
    context = {"notice": delivery.notice, "customer": delivery.customer, "base_url": settings.BASE_URL}
    mail = EmailMultiAlternatives(
        subject=f"{delivery.notice.title} · {delivery.customer.name}",
        body=render_to_string("mail/notice.txt", context),
        to=[recipient],
        headers={"Message-ID": f"<{delivery.pk}@ante>"},
    )
    mail.attach_alternative(render_to_string("mail/notice.html", context), "text/html")
    if delivery.notice.kind == "top_up.succeeded":
        paid = TopUp.objects.select_related("customer", "attempt", "asset", "pack")
        top_up = paid.get(pk=delivery.notice.facts["top_up"])
        mail.attach("receipt.pdf", documents.receipt_pdf(top_up), "application/pdf")
    return mail
