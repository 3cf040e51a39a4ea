"""A retry is answered, not repeated.

The key, what the request was, its effect and the answer commit together. A copy that comes while the first is running
waits on the unique key for as long as the lock time-out allows, then is told so. Refusals that will stay the same are
kept as answers too; what asks for a retry never is.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from accounts.ids import uuid7
from billing.errors import BillingError, IdempotencyConflict, InvalidRequest, RequestInProgress
from billing.models import IdempotencyRecord
from billing.services.retrying import retried

KEY_LENGTH_MAX = 255
_LOCK_TIMEOUT = "55P03"
_UNFINISHED = 102
"""In place of an answer's status, until there is one."""
_canonical = msgspec.json.Encoder(decimal_format="number", order="deterministic").encode


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request was answered: the HTTP status, the JSON body, and whether it was the first time."""

    status: int
    body: Any
    replayed: bool = False


def fingerprint(method: str, path: str, content: Any) -> bytes:
    """SHA-256 of what was asked for; the same whatever the order of the members in the body."""
    return hashlib.sha256(_canonical([method, path, content])).digest()


@retried
def once(
    *,
    principal: str,
    key: str,
    fingerprint: bytes,
    run: Callable[[], Answer],
    refuse: Callable[[BillingError], Answer],
) -> Answer:
    """Run ``run`` once for this principal and key; afterwards give its answer again.

    ``refuse`` makes the answer of a refusal. Raises ``IdempotencyConflict`` where the key came with another request,
    ``RequestInProgress`` where the first is still running.
    """
    if not key.isascii() or not key.isprintable() or not 0 < len(key) <= KEY_LENGTH_MAX:
        raise InvalidRequest.field("Idempotency-Key", f"1 to {KEY_LENGTH_MAX} printable ASCII characters.")
    with transaction.atomic():
        record_id = _claim(principal, key, fingerprint)
        if record_id is None:
            return _stored(principal, key, fingerprint)
        try:
            with transaction.atomic():
                try:
                    answer = run()
                except BillingError as error:
                    if not error.stands:
                        raise
                    answer = refuse(error)
        except BillingError as error:
            # What may be answered otherwise tomorrow is no answer to keep: a customer that is not there yet, say.
            if error.status >= 500 or error.status in {404, 429}:
                raise
            answer = refuse(error)
        IdempotencyRecord.objects.filter(pk=record_id).update(**_kept(answer))
    return answer


def phased(
    *,
    principal: str,
    key: str,
    fingerprint: bytes,
    before: Callable[[], object],
    prepare: Callable[[], str],
    finish: Callable[[str], Answer],
    refuse: Callable[[BillingError], Answer],
) -> Answer:
    """The same for a request that asks somebody outside, which no transaction can span.

    ``prepare`` writes down what is to be done and names it, in the transaction that takes the key; ``finish`` does what
    has that name, and is asked again wherever an earlier request did not come to its end, so it must go on, not begin
    anew. ``before`` runs for a key that nobody has used, outside of any transaction.
    """
    record = IdempotencyRecord.objects.filter(principal=principal, key=key).first()
    if record is None:
        before()
    answer = once(
        principal=principal,
        key=key,
        fingerprint=fingerprint,
        run=lambda: Answer(_UNFINISHED, {"prepared": prepare()}),
        refuse=refuse,
    )
    if answer.status != _UNFINISHED:
        return answer
    finished = finish(answer.body["prepared"])
    changed = IdempotencyRecord.objects.filter(principal=principal, key=key, status=_UNFINISHED)
    changed.update(**_kept(finished))
    return Answer(finished.status, finished.body, replayed=answer.replayed)


def _claim(principal: str, key: str, fingerprint: bytes) -> Any:
    """The id of a new record, or None where there is one. Waits for a copy that is running."""
    record_id = uuid7()
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO billing_idempotencyrecord (id, principal, key, fingerprint, status, created_at)"
                " VALUES (%s, %s, %s, %s, 0, %s) ON CONFLICT (principal, key) DO NOTHING",
                [record_id, principal, key, fingerprint, timezone.now()],
            )
            return record_id if cursor.rowcount else None
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) == _LOCK_TIMEOUT:
            raise RequestInProgress("The first request with this key is still running. Ask again shortly.") from error
        raise


def _stored(principal: str, key: str, fingerprint: bytes) -> Answer:
    record = IdempotencyRecord.objects.get(principal=principal, key=key)
    if bytes(record.fingerprint) != fingerprint:
        raise IdempotencyConflict("This key was used for another request. Nothing was done.")
    body = record.body
    if body is not None and record.secret is not None:
        body = {**body, "secret": record.secret}
    return Answer(record.status, body, replayed=True)


def _kept(answer: Answer) -> dict[str, Any]:
    """An answer as columns; a secret in it lies beside the body, sealed."""
    if isinstance(answer.body, dict) and isinstance(secret := answer.body.get("secret"), str):
        return {"status": answer.status, "body": {**answer.body, "secret": None}, "secret": secret}
    return {"status": answer.status, "body": answer.body}
