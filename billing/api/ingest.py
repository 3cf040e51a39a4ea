"""``POST /events``, free of any framework, for the two servers that offer it: Django's views and the event loop.

A request goes through ``read`` (who sends what), ``usage.record`` and ``reply``. ``answer`` is all three in one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from accounts.services import api_keys
from accounts.services.api_keys import Principal
from billing.api import authentication, cloudevents, json, lago, origin, pace, problems
from billing.engine.money import ZERO, amount_string, amount_strings, exact_sum, fits, parse
from billing.errors import (
    BillingError,
    InvalidRequest,
    NotFound,
    PayloadTooLarge,
    PermissionDenied,
    UnsupportedMediaType,
)
from billing.services import idempotency, usage
from billing.services.idempotency import Answer

SCOPE = "events:write"
EVENTS_MAX = 1000
_ONE = "application/cloudevents+json"
_MANY = "application/cloudevents-batch+json"
_ANY = "application/json"
_UNREAD = {_ANY, _ONE, _MANY}


@dataclass(frozen=True, slots=True)
class Call:
    """A request. Header names are in lower case; ``peer`` is the socket's address."""

    headers: Mapping[str, str]
    body: bytes
    request_id: str
    peer: str = ""

    @property
    def origin(self) -> dict[str, str]:
        """Where it comes from, as ``authentication`` asks for it."""
        return {"peer": self.peer, "forwarded": self.headers.get("x-forwarded-for", "")}

    @property
    def kept(self) -> usage.Origin:
        """What each event takes along of it."""
        return origin.of(self.request_id, self.headers.get("x-request-id"), **self.origin)


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back: JSON, already written."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Submission:
    """The events of one request, in its order; ``refused`` has the answers of those that could not be read."""

    events: Sequence[usage.IncomingEvent]
    is_batch: bool
    refused: Mapping[int, dict[str, Any]] = field(default_factory=dict)


def answer(call: Call) -> Reply:
    """Read, record and reply. With an ``Idempotency-Key``, once, and the same answer afterwards."""
    try:
        reporter = authenticate(call)
        key = call.headers.get("idempotency-key")
        if key is None:
            submission = read(call, reporter)
            return reply(submission, usage.record(submission.events), call)
        pace.buckets.spend(reporter.organization_id)
        content = _read_body(call)[1]
        found = idempotency.once(
            principal=str(reporter.organization_id or "operator"),
            key=key,
            fingerprint=idempotency.fingerprint("POST", "/api/v1/events", content),
            run=lambda: _once(call, reporter),
            refuse=lambda error: _kept(refusal(error, call)),
        )
        headers = {"Idempotent-Replayed": "true"} if found.replayed else {}
        return _reply(found.status, found.body["body"], found.body["headers"] | headers)
    except BillingError as error:
        return refusal(error, call)
    except problems.DATABASE_TROUBLE as error:
        return refusal(problems.unavailable(error), call)


def authenticate(call: Call) -> Principal:
    """Who calls. Raises ``Unauthenticated``, or ``PermissionDenied`` where the key may not record usage."""
    reporter = authentication.authenticate(call.headers.get("authorization", ""), **call.origin)
    return _permitted(reporter)


def known_reporter(call: Call) -> Principal | None:
    """Who calls, if that was looked up a moment ago; then there is no need to ask the database."""
    reporter = api_keys.recently_seen(authentication.secret_of(call.headers.get("authorization", "")))
    return None if reporter is None else _permitted(authentication.admitted(reporter, **call.origin))


def is_known(call: Call) -> bool:
    """Whether the call's key was one when it was looked up last."""
    return api_keys.was_seen(authentication.secret_of(call.headers.get("authorization", "")))


def _permitted(reporter: Principal) -> Principal:
    if not reporter.may(SCOPE):
        raise PermissionDenied(f"This key does not have the scope {SCOPE}.", scope=SCOPE)
    return reporter


def read(call: Call, reporter: Principal) -> Submission:
    """The events in the body: one, or a list of at most 1,000. Raises ``RateLimited`` as well."""
    pace.buckets.spend(reporter.organization_id)  # Who is refused has no megabytes read for nothing.
    return _submission(call, reporter)


def _submission(call: Call, reporter: Principal) -> Submission:
    kind, body = _read_body(call)
    if isinstance(body, list):
        pace.buckets.spend_more(reporter.organization_id, max(0, len(body) / pace.EVENTS_PER_CALL - 1))
    else:
        if kind == _MANY:
            raise InvalidRequest("This content type takes a list of events.")
        if kind == _ANY and lago.is_one(body):
            return Submission([lago.parse(body, reporter, origin=call.kept)], is_batch=False)
        return Submission([cloudevents.parse(body, reporter, origin=call.kept)], is_batch=False)
    if kind == _ONE:
        raise InvalidRequest(f"This content type takes one event; use {_MANY} for a list.")
    if not body:
        raise InvalidRequest("The list is empty.")
    if len(body) > EVENTS_MAX:
        raise PayloadTooLarge(f"{len(body)} events; at most {EVENTS_MAX} are taken in one request.")
    kept = call.kept
    events: list[usage.IncomingEvent] = []
    refused: dict[int, dict[str, Any]] = {}
    for position, item in enumerate(body):
        try:
            events.append(cloudevents.parse(item, reporter, origin=kept))
        except InvalidRequest as error:
            name = item.get("id") if isinstance(item, dict) else None
            refused[position] = _refused(name if isinstance(name, str) else None, error)
    return Submission(events, is_batch=True, refused=refused)


def reply(submission: Submission, outcomes: Sequence[usage.Outcome], call: Call) -> Reply:
    """The answer to what became of the events."""
    if submission.is_batch:
        return _reply(200, _batch_body(submission, outcomes), {})
    (outcome,) = outcomes
    headers = {"Idempotent-Replayed": "true"} if outcome.replayed else {}
    if outcome.error is not None:
        problem = problems.body(outcome.error, request_id=call.request_id)
        return _reply(outcome.error.status, problem, headers | problems.headers(outcome.error))
    return _reply(200 if outcome.replayed else 201, event_body(outcome), headers | _usage_headers(outcome))


def refusal(error: BillingError, call: Call) -> Reply:
    """The answer where nothing was recorded."""
    return _reply(error.status, problems.body(error, request_id=call.request_id), problems.headers(error))


def failure(request_id: str) -> Reply:
    """The answer to a bug of ours."""
    return _reply(500, problems.internal_error(request_id), {})


def _read_body(call: Call) -> tuple[str, Any]:
    """The content type, and what was sent, as CloudEvents' JSON format has it whichever way it came."""
    json.check_encoding(call.headers.get("content-encoding", ""))
    kind = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in {_ONE, _MANY} and cloudevents.is_binary(call.headers):
        return _ONE, cloudevents.from_headers(call.headers, json.read(call.body) if call.body else {})
    if kind not in _UNREAD:
        raise UnsupportedMediaType(f"Send {_ANY}, {_ONE} or {_MANY}, not {kind[:100] or 'nothing'}.")
    return kind, json.read(call.body)


def _once(call: Call, reporter: Principal) -> Answer:
    submission = _submission(call, reporter)
    outcomes = usage.record(submission.events)
    if not submission.is_batch and isinstance(outcomes[0].error, NotFound):
        # No answer to keep: the customer may be there tomorrow.
        raise outcomes[0].error
    return _kept(reply(submission, outcomes, call))


def _kept(given: Reply) -> Answer:
    """What is stored under an idempotency key: what the headers said is part of the answer."""
    return Answer(given.status, {"headers": given.headers, "body": json.read(given.body)})


def _reply(status: int, body: Any, headers: dict[str, str]) -> Reply:
    headers["Content-Type"] = problems.CONTENT_TYPE if status >= 400 else "application/json"
    return Reply(status, headers, json.write(body))


def _batch_body(submission: Submission, outcomes: Sequence[usage.Outcome]) -> dict[str, Any]:
    recorded = iter(outcomes)
    results = []
    accepted = duplicates = 0
    for position in range(len(submission.events) + len(submission.refused)):
        if position in submission.refused:
            results.append(submission.refused[position])
            continue
        outcome = next(recorded)
        if outcome.error is not None:
            result = _refused(outcome.event_id, outcome.error)
        else:
            accepted += not outcome.replayed
            result = {
                "id": outcome.event_id,
                "status": str(outcome.status),
                "cost": amount_strings(outcome.cost),
                "code": None,
            }
        if outcome.replayed:
            duplicates += 1
            result["replayed"] = True
        results.append(result)
    rejected = len(results) - accepted - duplicates
    return {"accepted": accepted, "duplicates": duplicates, "rejected": rejected, "results": results}


def _refused(event_id: str | None, error: BillingError) -> dict[str, Any]:
    return {"id": event_id, "status": "rejected", "cost": {}, "code": error.code, "detail": error.detail}


def event_body(outcome: usage.Outcome) -> dict[str, Any]:
    """What became of one event, as the outside sees it."""
    return {
        "id": outcome.event_id,
        "status": str(outcome.status),
        "customer": outcome.customer,
        "charges": [
            {
                "meter": line.meter,
                "quantity": amount_string(line.quantity),
                "asset": line.asset,
                "amount": amount_string(line.amount),
                "plan": line.plan,
                "plan_version": line.plan_version,
                **({} if line.waived is None else {"waived": amount_string(line.waived)}),
            }
            for line in outcome.charges
        ],
        "cost": amount_strings(outcome.cost),
        "balance": amount_strings(outcome.balance),
        "transaction": None if outcome.posted_id is None else str(outcome.posted_id),
        **({} if outcome.refused is None else {"refused": outcome.refused}),
    }


def _usage_headers(outcome: usage.Outcome) -> dict[str, str]:
    """What a gateway can hand on: cost and balance in the customer's currency, tokens in and out, and the model."""
    headers = {"X-Usage-Cost": amount_string(outcome.cost.get(outcome.currency, ZERO))}
    if outcome.currency in outcome.balance:
        headers["X-Wallet-Balance"] = amount_string(outcome.balance[outcome.currency])
    tokens = [_number(outcome.data.get(name)) for name in ("input_tokens", "output_tokens")]
    counts = [count for count in tokens if count is not None]
    if counts and all(map(fits, counts)):
        headers["X-Total-Tokens"] = amount_string(exact_sum(counts))
    model = outcome.data.get("model")
    if isinstance(model, str) and model.isascii() and model.isprintable():
        headers["X-Model"] = model[: cloudevents.TEXT_MAX]
    return headers


def _number(value: Any) -> Decimal | None:
    """What a meter would read from the field: a number, or a text that is one."""
    if isinstance(value, str):
        return parse(value)
    return Decimal(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else None
