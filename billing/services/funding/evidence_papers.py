"""Evidence as PDF."""

from collections.abc import Mapping
from typing import Any

import msgspec
from django.conf import settings

from billing.gateways import documents

_encode = msgspec.json.Encoder(decimal_format="number").encode
_TITLES = {
    "event": "Evidence of a charge",
    "charges": "Evidence of disputed charges",
    "payment": "Evidence of a payment",
}
ID_DIGITS = 8
"""An entry's id is long: its end, which tells it from its neighbours, is enough beside the JSON."""

Pack = Mapping[str, Any]


def pdf(pack: Pack) -> bytes:
    """A pack of ``selectors.evidence`` on paper."""
    return documents.pdf("evidence", shown(pack))


def shown(pack: Pack) -> dict[str, Any]:
    """What is on the paper: texts, ready to be set."""
    case, customer = pack["case"], pack["customer"]
    return {
        "title": _TITLES[pack["kind"]],
        "number": case.get("id") or pack["events"][0]["record"],
        "seller": settings.INVOICE_SELLER,
        "buyer": [text for text in (customer["name"], customer["email"], customer["country"], customer["id"]) if text],
        "facts": _facts(
            made=pack["made_at"],
            opened=case.get("opened_at"),
            status=case.get("status"),
            disputed=_money(case, "amount", "currency"),
            at_the_provider=case.get("at_provider"),
            customer_since=customer["since"],
            **_used(pack.get("used")),
        ),
        "said": [(who, case[name]) for name, who in _says(pack["kind"]).items() if case.get(name)],
        "events": [_event(event) for event in pack["events"]],
        "payments": [_payment(payment) for payment in pack["payments"]],
        "seals": [(str(seal["number"]), seal["made_at"], seal["hash"]) for seal in pack["seals"]],
    }


def _says(kind: str) -> dict[str, str]:
    """Who says what in a case: the reason of a disputed payment is the bank's word, that of a charge the customer's."""
    return {"reason": "BANK" if kind == "payment" else "CUSTOMER", "answer": "ANSWER"}


def _used(used: Pack | None) -> dict[str, str | None]:
    if used is None:
        return {}
    return {
        "events_that_it_paid": f"{used['events']}, of which {used['shown']} are below",
        "used_of_it": used["amount"],
        "first_used": used["first_at"],
        "last_used": used["last_at"],
    }


def _event(event: Pack) -> dict[str, Any]:
    key, authorization = event["reported_by"], event["authorization"]
    return {
        "title": event["id"],
        "facts": _facts(
            type=event["type"],
            source=event["source"],
            status=event["status"],
            occurred=event["occurred_at"],
            received=event["received_at"],
            session=event["session"] and str(event["session"]),
            request=event["request"] and event["request"]["id"],
            address_hash=event["request"] and event["request"]["address_hash"],
            **{"made_with" if event["key_named_by_operator"] else "reported_with": key and _key(key)},
            key_made_by=None if key is None else key["made_by"],
            authorization=None if authorization is None else authorization["id"],
            fingerprint=event["fingerprint"],
            our_record=event["record"],
            **{f"available_{asset}": f"{at['before']} → {at['after']}" for asset, at in event["balances"].items()},
            **{f"given_back_{each['at']}": _amounts(each["amounts"]) for each in event["corrections"]},
        ),
        "charges": [_charge(charge) for charge in event["charges"]],
        "entries": [
            (
                f"…{entry['id'][-ID_DIGITS:]}",
                f"{entry['debit']} → {entry['credit']}",
                f"{entry['amount']} {entry['asset']}",
                str(entry["seal"] or "–"),
                entry["balance_after"] or "–",
            )
            for entry in event["entries"]
        ],
        "data": msgspec.json.format(_encode(event["data"]), indent=2).decode(),
    }


def _key(key: Pack) -> str:
    return f"{key['name']} ({key['prefix']}…)"


def _charge(charge: Pack) -> dict[str, Any]:
    paid = [(f"Paid from {draw['name']}", draw["amount"]) for draw in charge["grants"]]
    return {
        "meter": f"{charge['meter']}: {charge['quantity']} {charge['unit']}".strip(),
        "price": f"{charge['price_in_words']} · {charge['plan']}, version {charge['plan_version']}",
        "lines": [
            *((line["line"], line["amount"]) for line in charge["arithmetic"]),
            (f"Charged, {charge['asset']}", charge["amount"]),
            *paid,
        ],
    }


def _payment(payment: Pack) -> list[tuple[str, str]]:
    method = payment["method"]
    return _facts(
        receipt=payment["top_up"],
        paid=_money(payment, "paid", "currency"),
        with_=" ".join(filter(None, (method["brand"] or method["type"], method["last4"]))),
        asked_for=payment["asked_for_at"],
        settled=payment["settled_at"],
        came_into_the_wallet=_money(payment, "credited", "asset"),
        bonus=_money(payment, "bonus", "asset") if payment["bonus"] != "0" else None,
        payment_at_the_provider=payment["payment_at_provider"],
        charge_at_the_provider=payment["charge_at_provider"],
        **{f"paid_back_{each['at']}": each["amount"] for each in payment["refunds"]},
    )


def _facts(**found: str | None) -> list[tuple[str, str]]:
    """Names in words; what is not known is left out."""
    words = ((name.rstrip("_").replace("_", " "), text) for name, text in found.items() if text)
    return [(name[0].upper() + name[1:], text) for name, text in words]


def _money(row: Pack, amount: str, unit: str) -> str | None:
    return f"{row[amount]} {row[unit]}" if row.get(amount) else None


def _amounts(amounts: Mapping[str, str]) -> str:
    return ", ".join(f"{amount} {asset}" for asset, amount in amounts.items())
