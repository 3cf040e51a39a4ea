"""Spans of OpenTelemetry traces, and the usage events that those of model calls are.

Read are the attributes of the GenAI semantic conventions, with the names that they had before. A span that says no
tokens is no model call. Spans of agents and workflows repeat what the calls below them used, so only operations that
ask a model count.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from billing.errors import InvalidRequest

SOURCE = "otlp"
EVENT_TYPE = "llm.completion"
OPERATIONS = {"chat", "text_completion", "generate_content", "embeddings"}
_OWN = "ante."
_CUSTOMER = "ante.customer"
_FAILED = 2
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = 2**64 - 1  # As much as the protocol has room for.

_TOKENS: Mapping[str, tuple[str, ...]] = {
    "input_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
    "output_tokens": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
    "cached_input_tokens": ("gen_ai.usage.cache_read.input_tokens",),
    "cache_write_tokens": ("gen_ai.usage.cache_creation.input_tokens",),
    "reasoning_tokens": ("gen_ai.usage.reasoning.output_tokens",),
}
"""Input holds what was cached, output the reasoning, as the conventions say."""
_TEXTS: Mapping[str, tuple[str, ...]] = {
    "model": ("gen_ai.response.model", "gen_ai.request.model"),
    "provider": ("gen_ai.provider.name", "gen_ai.system"),
    "request_type": ("gen_ai.operation.name",),
    "session": ("gen_ai.conversation.id", "session.id"),
    "user": ("enduser.id", "user.id"),
    "service": ("service.name",),
}


@dataclass(frozen=True, slots=True)
class Span:
    """One span. ``attributes`` has those of its resource as well, where it does not say otherwise itself."""

    trace_id: str
    span_id: str
    end: int
    """Nanoseconds since 1970; 0 where it is not said."""
    status: int
    attributes: Mapping[str, Any]

    @property
    def is_model_call(self) -> bool:
        operation = self.attributes.get("gen_ai.operation.name", "chat")
        return operation in OPERATIONS and any(
            _first(self.attributes, _TOKENS[name]) is not None for name in ("input_tokens", "output_tokens")
        )

    def event(self, customer: str | None) -> dict[str, Any]:
        """The CloudEvent, of ``customer`` where the span names none. The span's own ids make it one for good."""
        data: dict[str, Any] = {"input_tokens": 0, "cached_input_tokens": 0, "output_tokens": 0}
        for names in (_TOKENS, _TEXTS):
            for name, keys in names.items():
                if (value := _first(self.attributes, keys)) is not None:
                    data[name] = value
        for name, value in self.attributes.items():
            if name.startswith(_OWN) and name != _CUSTOMER:
                data[name.removeprefix(_OWN)] = value
        event: dict[str, Any] = {
            "specversion": "1.0",
            "id": f"{self.trace_id}-{self.span_id}",
            "source": SOURCE,
            "type": EVENT_TYPE,
            "subject": self.attributes.get(_CUSTOMER, customer),
            "data": data,
        }
        if self.end:
            event["time"] = (_BEGINNING + timedelta(microseconds=self.end // 1000)).isoformat()
        if self.status == _FAILED:
            event["outcome"] = "failed"
        return event


def from_json(body: Any) -> Iterator[Span]:
    """The spans of an ``ExportTraceServiceRequest`` in OTLP's JSON. Raises ``InvalidRequest`` for any other form."""
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object.")
    for at, resource_spans in _each(body, "resourceSpans", ""):
        resource = _attributes(_object(resource_spans, "resource", at), f"{at}.resource")
        for within, scope_spans in _each(resource_spans, "scopeSpans", at):
            for here, span in _each(scope_spans, "spans", within):
                status = _whole(_object(span, "status", here), "code", here)
                yield Span(
                    trace_id=_hex(span, "traceId", here),
                    span_id=_hex(span, "spanId", here),
                    end=_moment(_whole(span, "endTimeUnixNano", here), here),
                    status=status,
                    attributes=resource | _attributes(span, here),
                )


def from_protobuf(request: Any) -> Iterator[Span]:
    """The same of the message itself."""
    for at, resource_spans in enumerate(request.resource_spans):
        resource = _scalars(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield Span(
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    end=_moment(span.end_time_unix_nano, f"resourceSpans.{at}"),
                    status=span.status.code,
                    attributes=resource | _scalars(span.attributes),
                )


_KINDS: Mapping[str, Any] = {"stringValue": str, "boolValue": bool, "doubleValue": int | Decimal}


def _first(attributes: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((attributes[name] for name in names if name in attributes), None)


def _scalars(attributes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in attributes:
        kind = each.value.WhichOneof("value")
        if kind in {"string_value", "bool_value", "int_value"}:
            found[each.key] = getattr(each.value, kind)
        elif kind == "double_value":
            found[each.key] = _number(each.value.double_value)
    return {name: value for name, value in found.items() if value is not None}


def _number(value: float) -> Decimal | None:
    number = Decimal(repr(value))
    return number if number.is_finite() else None


def _each(parent: Mapping[str, Any], name: str, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    members = parent.get(name)
    here = f"{path}.{name}" if path else name
    if members is None:
        return
    if not isinstance(members, list):
        raise InvalidRequest.field(here, "must be a list")
    for position, member in enumerate(members):
        if not isinstance(member, dict):
            raise InvalidRequest.field(f"{here}.{position}", "must be an object")
        yield f"{here}.{position}", member


def _object(parent: Mapping[str, Any], name: str, path: str) -> dict[str, Any]:
    found = parent.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InvalidRequest.field(f"{path}.{name}", "must be an object")
    return found


def _attributes(parent: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Those that are a text, a number or a truth; lists and the like are of no use here."""
    found: dict[str, Any] = {}
    for here, each in _each(parent, "attributes", path):
        key, value = each.get("key"), _object(each, "value", here)
        if not isinstance(key, str):
            raise InvalidRequest.field(f"{here}.key", "must be a string")
        if "intValue" in value:
            found[key] = _whole(value, "intValue", here)
        else:
            for kind, type in _KINDS.items():
                if isinstance(value.get(kind), type):
                    found[key] = value[kind]
    return found


def _whole(parent: Mapping[str, Any], name: str, path: str) -> int:
    """A whole number, which JSON may bear as a string; 0 where it is not there."""
    value = parent.get(name)
    if value is None:
        return 0
    if isinstance(value, str) and value.removeprefix("-").isascii() and value.removeprefix("-").isdigit():
        value = int(value) if len(value) <= 20 else None
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidRequest.field(f"{path}.{name}", "must be a whole number, or one in a string")
    return value


def _hex(parent: Mapping[str, Any], name: str, path: str) -> str:
    value = parent.get(name, "")
    if not isinstance(value, str) or len(value) > 32 or set(value.lower()) - set("0123456789abcdef"):
        raise InvalidRequest.field(f"{path}.{name}", "must be hexadecimal digits")
    return value.lower()


def _moment(value: int, path: str) -> int:
    if not 0 <= value <= _LATEST:
        raise InvalidRequest.field(f"{path}.endTimeUnixNano", "is no time since 1970")
    return value
