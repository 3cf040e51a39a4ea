"""``manage.py reset_second_factor EMAIL``: for somebody who has lost their factors and their codes."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import User
from accounts.services import factors
from accounts.services.audit import SYSTEM


class Command(BaseCommand):
    help = "Take all second factors of a person away. They sign in with the password and set up a new one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(email=options["email"].lower()).first()
        if user is None:
            raise CommandError(f"There is nobody with the address {options['email']}.")
        factors.reset(user, actor=SYSTEM)
        self.stdout.write(f"{user.email} has no second factor any more; their sessions were ended.")
