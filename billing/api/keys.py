"""``/key``: whose key a request bears, for gateways that are handed one."""

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.services import api_keys
from billing import access
from billing.api import base
from billing.api.authentication import principal
from billing.api.schema import keys as schema
from billing.models import Customer


class HasKey(BasePermission):
    """Any key will do, for it learns of itself alone."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return principal(request) is not None


class KeyView(base.View):
    permission_classes = [HasKey]

    @schema.KEY
    def get(self, request: Request) -> Response:
        reporter = principal(request)
        reachable = access.customers(principal=reporter)
        own = None if reachable is None else Customer.objects.filter(pk__in=reachable).order_by("pk").first()
        return Response(
            {
                "id": str(reporter.key_id),
                "customer": own and own.external_id,
                "mode": api_keys.mode(),
                "scopes": sorted(reporter.scopes),
            }
        )
