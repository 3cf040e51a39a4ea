"""What a seal covers, and the bytes that are hashed: the format, once and for all.

A row is its fields in the order below, each as text: identifiers and codes as they are, numbers without trailing zeros,
``true`` and ``false``, times as ``2026-01-31T23:59:59.123456Z``, bytes as hexadecimal, free text and JSON (as ``jsonb``
prints it) in Unicode's form NFC. A field that is there becomes its length in bytes of UTF-8, a colon and the text; one
that is not becomes ``-``. The digest of a row is the SHA-256 of its fields so joined; the digest of a block that of its
rows' digests, by id. A later form would be a new number beside this one: what was sealed stays verifiable.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

FORM = 1
GENESIS = bytes(32)
"""What the first seal names as the one before it."""


@dataclass(frozen=True, slots=True)
class Covered:
    """A table that is sealed. ``fields`` are (column, type); ``posted`` is the column that says when it was written.

    ``parent``, where there is one, is the (table, column that points to it) in whose database transaction the row was
    written: the rows without one are numbered themselves.
    """

    table: str
    posted: str
    fields: tuple[tuple[str, str], ...]
    parent: tuple[str, str] | None = None


def _fields(**types: str) -> tuple[tuple[str, str], ...]:
    """Columns by type, as ``uuid="id customer_id"``, put in the order of their names."""
    return tuple(sorted((column, kind) for kind, columns in types.items() for column in columns.split()))


COVERED: dict[str, Covered] = {
    "ledger_transaction": Covered(
        "billing_ledgertransaction",
        "posted_at",
        _fields(uuid="id customer_id reverses_id", text="template reference description", time="occurred_at posted_at"),
    ),
    "ledger_entry": Covered(
        "billing_ledgerentry",
        "posted_at",
        _fields(
            uuid="id transaction_id customer_id balance_id grant_id charge_id",
            text="asset_id kind debit credit",
            number="seq amount available_after held_after",
            time="occurred_at posted_at",
        ),
        parent=("billing_ledgertransaction", "transaction_id"),
    ),
    "usage_event": Covered(
        "billing_usageevent",
        "received_at",
        # The content is covered by its fingerprint.
        _fields(
            uuid="id customer_id api_key_id",
            text="source event_id type status",
            time="occurred_at received_at",
            bytes="fingerprint",
            json="refusal balance_after",
        ),
    ),
    "charge": Covered(
        "billing_charge",
        "posted_at",
        _fields(
            uuid="id customer_id event_id subscription_id plan_version_id price_id meter_id"
            " correction_id reverses_id refunds_id",
            text="asset_id",
            number="quantity quantity_before amount list_amount waived cost",
            json="dimensions",
            flag="late price_given",
            time="occurred_at posted_at",
        ),
    ),
    "correction": Covered(
        "billing_correction",
        "created_at",
        _fields(uuid="id customer_id event_id", text="kind asset_id reason actor", number="amount", time="created_at"),
    ),
    "audit_event": Covered(
        "accounts_auditevent",
        "created_at",
        _fields(
            uuid="id actor_id organization_id",
            text="actor_kind actor_label action object_type object_id request_id",
            address="ip_address",
            json="before after",
            time="created_at",
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Header:
    """Everything of a seal that its own hash covers."""

    number: int
    previous_hash: bytes
    covers: str
    rows: int
    first_id: UUID
    last_id: UUID
    digest: bytes
    cluster: str
    written_before: int
    made_at: datetime
    form: int = FORM

    def hash(self) -> bytes:
        """32 bytes: SHA-256 of the fields in the form of a row."""
        return hashlib.sha256(
            joined(
                [
                    f"ante seal {self.form}",
                    str(self.number),
                    self.previous_hash.hex(),
                    self.covers,
                    str(self.rows),
                    str(self.first_id),
                    str(self.last_id),
                    self.digest.hex(),
                    self.cluster,
                    str(self.written_before),
                    self.made_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                ]
            )
        ).digest()


def joined(fields: Sequence[str | None]) -> bytes:
    """The canonical bytes of fields that are text already."""
    return b"".join(b"-" if field is None else b"%d:%b" % (len(text := field.encode()), text) for field in fields)
