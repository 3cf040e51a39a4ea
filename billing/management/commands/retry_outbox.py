from typing import Any

from django.core.management.base import BaseCommand

from billing.services import outbox


class Command(BaseCommand):
    help = "Make the outbox messages due again that were parked because they failed too often."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{outbox.retry():,} messages are due again.")
