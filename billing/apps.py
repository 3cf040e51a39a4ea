from importlib import import_module

from django.apps import AppConfig
from django.contrib.admin import apps as admin
from django.core import checks
from django.db.models.signals import post_migrate

from billing.checks import books, default_alerts, demonstration, exports, overdue, payments, payments_at_all
from billing.database import grant_application_role


class BillingConfig(AppConfig):
    """Wallets, the ledger, the catalog, usage and the REST API."""

    name = "billing"
    verbose_name = "Billing"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        checks.register(books)
        checks.register(default_alerts)
        checks.register(demonstration, deploy=True)
        checks.register(exports)
        checks.register(overdue)
        checks.register(payments)
        checks.register(payments_at_all, deploy=True)
        post_migrate.connect(grant_application_role, sender=self, dispatch_uid="grant_application_role")


class BackOfficeConfig(admin.AdminConfig):
    """Django admin, with our own site in place of the default one."""

    default = False
    default_site = "billing.admin.site.BackOfficeSite"

    def ready(self) -> None:
        super().ready()
        # Only now: a page that registers while the site is being built would be lost.
        import_module("billing.admin.registry")
