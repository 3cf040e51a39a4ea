"""Operations on the key itself."""

from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers

KEY = extend_schema(
    operation_id="get_key",
    summary="Whose key this is",
    tags=["Keys"],
    responses={
        200: inline_serializer(
            name="Key",
            fields={
                "id": serializers.UUIDField(),
                "customer": serializers.CharField(allow_null=True, help_text="Null for a key of the operator's."),
                "mode": serializers.ChoiceField(["live", "test"], help_text="Of the deployment, and so of its keys."),
                "scopes": serializers.ListField(child=serializers.CharField()),
            },
        )
    },
)
