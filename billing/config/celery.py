"""The Celery application. Imported by every front door, so that ``shared_task`` finds it."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing.config.settings")

app = Celery("ante")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
