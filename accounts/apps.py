from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AccountsConfig(AppConfig):
    """People, the organizations they act for, and the keys programs use. Knows nothing of money."""

    name = "accounts"
    verbose_name = "People and access"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        post_migrate.connect(_make_staff_groups, dispatch_uid="make_staff_groups")


def _make_staff_groups(*, app_config: AppConfig, **_: Any) -> None:
    """Once the permissions of the last app are there."""
    from accounts.services import staff

    if app_config.name == "billing":
        staff.make_groups()
