from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts import addresses
from accounts.services import api_keys
from billing.models import Customer

DAYS_MAX = 3650


class Command(BaseCommand):
    help = "Make an API key and print it, alone, on standard output. It cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--scopes", required=True, help='With commas: "events:write,wallets:read", or "*".')
        parser.add_argument("--name", default="command line", help="What it is called in lists.")
        parser.add_argument("--customer", help="For one customer (its external id): the key reaches that one alone.")
        parser.add_argument("--days", type=int, help="It ends after so many (never).")
        parser.add_argument(
            "--networks", default="", help='Only from these, with commas: "192.0.2.0/24,2001:db8::1" (from everywhere).'
        )

    def handle(self, *args: Any, **options: Any) -> None:
        organization = None
        if options["customer"]:
            customer = Customer.objects.select_related("organization").filter(external_id=options["customer"]).first()
            if customer is None:
                raise CommandError(f"There is no customer {options['customer']}.")
            organization = customer.organization
        scopes = [scope.strip() for scope in options["scopes"].split(",") if scope.strip()]
        days = options["days"]
        if days is not None and not 1 <= days <= DAYS_MAX:
            raise CommandError(f"--days must be from 1 to {DAYS_MAX}.")
        try:
            _, secret = api_keys.issue(
                name=options["name"],
                scopes=scopes,
                organization=organization,
                expires_at=None if days is None else timezone.now() + timedelta(days=days),
                allowed_networks=addresses.read_networks(options["networks"]),
            )
        except ValueError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(secret)
