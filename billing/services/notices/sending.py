"""Sending notices by e-mail, telephone and chat: claimed first, sent outside of any transaction, tried again later."""

import logging
from datetime import timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.template.loader import render_to_string
from django.utils import timezone

from accounts.reading import PLAIN, of_user, reading_as
from accounts.services import audit
from accounts.working import for_a_while
from billing.errors import InvalidState
from billing.gateways import messengers
from billing.models import NoticeDelivery, NoticeTarget, TopUp
from billing.services.invoicing import documents
from billing.services.notices import addressing, texts

BATCH = 50
ATTEMPTS_MAX = 12
FIRST_DELAY_SECONDS = 30
DELAY_MAX_SECONDS = 3600

logger = logging.getLogger(__name__)


def send_due() -> int:
    """Send what is due, oldest first, for a minute at most. Returns how many went out.

    What waited for somebody who has left since, or whose role does not see it any more, is dropped.
    Safe to run twice and at once. A crash between sending and noting it sends again, under the same Message-ID.
    """
    due = NoticeDelivery.objects.filter(state=NoticeDelivery.State.DUE, due_at__lte=timezone.now())
    return sum(_send(pk) for pk in for_a_while(list(due.order_by("due_at").values_list("pk", flat=True)[:BATCH])))


def _send(pk: UUID) -> bool:
    delivery = _claim(pk)
    if delivery is None:
        return False
    if not addressing.still_addressed(delivery):
        delivery.delete()
        return False
    try:
        _hand_over(delivery)
    except messengers.NotSent as failure:
        return _failed(delivery, str(failure))
    except Exception as error:
        return _failed(delivery, type(error).__name__)
    delivery.state, delivery.sent_at, delivery.last_error = NoticeDelivery.State.SENT, timezone.now(), ""
    delivery.save(update_fields=["state", "sent_at", "last_error"])
    return True


def retry(*, actor: audit.Actor, delivery: NoticeDelivery) -> None:
    """Send again, now, what was given up or waits for its next attempt. Raises ``InvalidState`` for what arrived."""
    with transaction.atomic():
        waiting = NoticeDelivery.objects.filter(pk=delivery.pk).exclude(state=NoticeDelivery.State.SENT)
        if not waiting.update(state=NoticeDelivery.State.DUE, attempts=0, due_at=timezone.now()):
            raise InvalidState("This was sent already.")
        audit.record(
            actor=actor,
            action="notice_delivery.retried",
            object_type="notice_delivery",
            object_id=str(delivery.pk),
            organization_id=delivery.customer.organization_id,
            after={"channel": delivery.channel, "last_error": delivery.last_error},
        )


def _failed(delivery: NoticeDelivery, why: str) -> bool:
    logger.warning("The notice %s could not be sent: %s", delivery.pk, why)
    delivery.last_error = why[:200]
    if delivery.attempts >= ATTEMPTS_MAX:
        delivery.state = NoticeDelivery.State.FAILED
    delivery.save(update_fields=["last_error", "state"])
    return False


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


def _hand_over(delivery: NoticeDelivery) -> None:
    """Over its channel. Raises what goes wrong."""
    style, zone = PLAIN, delivery.customer.timezone
    if delivery.user is not None:
        style, zone = of_user(delivery.user), delivery.user.timezone or zone
    with reading_as(style), timezone.override(ZoneInfo(zone)):
        title, text = texts.said(delivery.notice)
        title = f"{title} · {delivery.customer.name}"
        if delivery.channel == NoticeDelivery.Channel.EMAIL:
            _mail(delivery, title, text).send()
            return
    if delivery.channel == NoticeDelivery.Channel.OPERATOR:
        messengers.send_to_operator(title=title, text=text)
        return
    target = NoticeTarget.objects.filter(
        customer_id=delivery.customer_id, user=delivery.user, channel=delivery.channel, confirmed_at__isnull=False
    ).first()
    if target is None:
        raise messengers.NotSent("They do not want to be told there any more.")
    messengers.send(target.channel, target.address, title=title, text=f"{text}\n{settings.BASE_URL}")


def _mail(delivery: NoticeDelivery, title: str, text: str) -> EmailMultiAlternatives:
    recipient = delivery.user.email if delivery.user is not None else delivery.customer.email
    context = {
        "title": title,
        "text": text,
        "notice": delivery.notice,
        "customer": delivery.customer,
        "written_at": texts.moment(delivery.notice.created_at),
        "base_url": settings.BASE_URL,
    }
    mail = EmailMultiAlternatives(
        subject=title,
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
