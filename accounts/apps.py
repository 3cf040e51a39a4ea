from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """People, the organizations they act for, and the keys programs use. Knows nothing of money."""

    name = "accounts"
    verbose_name = "People and access"
    default_auto_field = "django.db.models.BigAutoField"
