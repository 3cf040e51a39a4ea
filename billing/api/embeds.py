"""``/customers/…/embeds``: links that show a balance or usage on the operator's own pages."""

from collections.abc import Mapping
from typing import ClassVar

from rest_framework import serializers as rest
from rest_framework.request import Request
from rest_framework.response import Response

from billing import access
from billing.api import base, serializers
from billing.api.authentication import principal
from billing.api.fields import StrictSerializer, moment_string
from billing.api.schema import embeds as schema
from billing.errors import PermissionDenied
from billing.services.customer import embeds


class EmbedCreate(StrictSerializer):
    view = rest.ChoiceField(list(embeds.VIEWS))
    expires_in = rest.IntegerField(
        min_value=embeds.SECONDS_MIN, max_value=embeds.SECONDS_MAX, default=embeds.SECONDS, help_text="Seconds."
    )


class EmbedsView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"POST": "wallets:read"}

    @schema.EMBED
    def post(self, request: Request, external_id: str) -> Response:
        who = principal(request)
        customer = access.customer(principal=who, external_id=external_id)
        data = serializers.read(EmbedCreate, request)
        if not who.may(needed := embeds.VIEWS[data["view"]]):
            raise PermissionDenied(f"To show this the key needs {needed}.")
        made = embeds.issue(customer=customer, view=data["view"], key_id=who.key_id, seconds=data["expires_in"])
        shown = {"url": made.url, "view": data["view"], "expires_at": moment_string(made.expires_at)}
        return Response(shown, status=201)
