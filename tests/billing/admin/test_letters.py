"""Letters about accounts that could not be sent: staff see them, not what they say, and have them sent again."""

from django.core import mail as outgoing
from django.test import Client

from accounts.models import AuditEvent, OutgoingMail
from accounts.services import mail

LIST = "/admin/accounts/outgoingmail/"


def test_what_was_given_up_is_seen_and_sent_again(office: Client) -> None:
    mail.queue("new@acme.test", "An invitation", "Come in: https://a.test/secret")
    OutgoingMail.objects.update(attempts=OutgoingMail.ATTEMPTS_MAX, last_error="SMTPServerDisconnected")
    letter = OutgoingMail.objects.get()

    for path in (LIST, f"{LIST}{letter.pk}/change/"):
        page = office.get(path).content.decode()
        assert "Given up" in page
        assert "SMTPServerDisconnected" in page
        assert "secret" not in page
    assert "Letters about accounts that could not be sent" in office.get("/admin/").content.decode()
    assert office.post(f"{LIST}{letter.pk}/send-again/").headers["Location"] == LIST

    trail = AuditEvent.objects.get(action="letter.retried")
    assert trail.after == {"attempts": 12, "last_error": "SMTPServerDisconnected"}
    assert mail.send_due() == 1
    assert outgoing.outbox[0].to == ["new@acme.test"]
    assert not OutgoingMail.objects.exists()
