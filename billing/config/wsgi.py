"""The application for a WSGI server: everything but the live updates of the portal, which ``asgi`` serves too."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing.config.settings")

application = get_wsgi_application()
