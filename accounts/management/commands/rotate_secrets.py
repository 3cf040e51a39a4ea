"""``manage.py rotate_secrets``: after a new key came first in the ring, seal everything with it."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.services import rotation


class Command(BaseCommand):
    help = "Seal secrets at rest anew with the first key of ENCRYPTION_KEYS. Afterwards older keys can be dropped."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="change nothing; fail if older keys are still needed")

    def handle(self, *args: Any, **options: Any) -> None:
        found = rotation.rotate(dry_run=options["check"])
        for column in found:
            verb = "under an older key" if options["check"] else "sealed anew"
            counts = f"{column.current} current, {column.sealed_anew} {verb}, {column.unreadable} unreadable"
            self.stdout.write(f"{column.column}: {counts}")
        if any(column.unreadable for column in found):
            raise CommandError("No key of the ring opens some of them: is a key missing?")
        if options["check"] and any(column.sealed_anew for column in found):
            raise CommandError("Older keys are still needed: run rotate_secrets.")
