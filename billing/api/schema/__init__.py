"""The OpenAPI document: what cannot be read off the views."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema

from billing.api.fields import AMOUNT_PATTERN
from billing.api.schema.shapes import PAYMENT_PROBLEMS, PROBLEMS

_CHARGING = {
    "record_events",
    "open_authorization",
    "capture_authorization",
    "change_subscription",
    "adjust_wallet",
}


class Schema(AutoSchema):
    """Adds to every operation the refusals that any of them may answer."""

    def get_operation(self, *args: Any, **kwargs: Any) -> Any:
        operation = super().get_operation(*args, **kwargs)
        if operation is not None:
            charging = operation["operationId"] in _CHARGING
            for status, description in (PROBLEMS | (PAYMENT_PROBLEMS if charging else {})).items():
                operation["responses"].setdefault(
                    status,
                    {
                        "description": description,
                        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
                    },
                )
        return operation


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "billing.api.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "An API key: sk_live_… of the operator, ck_live_… of a customer; sk_test_… and ck_test_… "
            "where the deployment is in test mode.",
        }


def complete_requests(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """What every request has in common: no fields but those that are named, and amounts as numbers as well."""
    for name, schema in result["components"].get("schemas", {}).items():
        if name.endswith("Request") and schema.get("type") == "object":
            schema.setdefault("additionalProperties", False)
            for field in schema.get("properties", {}).values():
                if field.get("pattern") == AMOUNT_PATTERN:
                    field["type"] = ["string", "number"]
    return result


def add_problem(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Put the problem document's schema, which no view returns by itself, into the components."""
    text = {"type": "string"}
    result["components"].setdefault("schemas", {})["Problem"] = {
        "type": "object",
        "description": "RFC 9457. `code` is what a program branches on.",
        "required": ["type", "title", "status", "detail", "code", "errors", "request_id"],
        "properties": {
            "type": text,
            "title": text,
            "status": {"type": "integer"},
            "detail": text,
            "code": text,
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["field", "code", "detail"],
                    "properties": {"field": text, "code": text, "detail": text},
                },
            },
            "request_id": text,
        },
    }
    return result
