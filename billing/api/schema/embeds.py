"""Operations on links to embed."""

from typing import Any

from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers as rest

from billing.api.fields import MomentField
from billing.services.customer import embeds


class EmbedShape(rest.Serializer[Any]):
    url = rest.CharField(help_text="For a frame on a site that EMBED_ANCESTORS names, or to open by itself.")
    view = rest.ChoiceField(list(embeds.VIEWS))
    expires_at = MomentField()


EMBED = extend_schema(
    operation_id="create_embed",
    summary="A short-lived link that shows a balance or usage on your own page",
    description=(
        "Whoever has the link sees the page until it ends, without signing in. It also ends with the key that made it. "
        "Usage needs the scope events:read as well."
    ),
    tags=["Customers"],
    request=inline_serializer(
        "EmbedCreate",
        {
            "view": rest.ChoiceField(list(embeds.VIEWS)),
            "expires_in": rest.IntegerField(
                min_value=embeds.SECONDS_MIN, max_value=embeds.SECONDS_MAX, default=embeds.SECONDS, required=False
            ),
        },
    ),
    responses={201: EmbedShape},
)
