from django.apps import AppConfig


class PortalConfig(AppConfig):
    """The customer's pages. No models, no rules."""

    name = "portal"
    verbose_name = "Customer portal"
