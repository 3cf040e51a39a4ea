from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from billing.models import ExportFile
from billing.services import exports


class Command(BaseCommand):
    help = (
        "Deliver what was written since the last time, events, charges and entries, and the journals of closed days, "
        "to EXPORT_TO. The worker does the same by itself."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.EXPORT_TO:
            raise CommandError(
                "EXPORT_TO is not set: file:///srv/exports, s3://bucket/prefix or sftp://user@host/path."
            )
        planned = exports.plan_journals() + exports.plan_warehouse()
        delivered = exports.deliver_due()
        self.stdout.write(f"{planned} files planned, {delivered} delivered.")
        for file in ExportFile.objects.filter(state="waiting").exclude(last_error="").order_by("id")[:10]:
            self.stdout.write(f"{file.name}: {file.last_error}")
        if ExportFile.objects.filter(state="waiting").exclude(last_error="").exists():
            raise CommandError("Not everything could be delivered; it is tried again.")
