"""What the workers do for people."""

from celery import shared_task

from accounts.services import mail


@shared_task(name="accounts.send_mail")
def send_mail() -> None:
    """Send the letters that are due."""
    mail.send_due()
