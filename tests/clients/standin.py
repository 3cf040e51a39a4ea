"""A server that speaks as much of the API as the client needs, in this very process, with wallets that can be counted.

Ten-thousandths of a dollar for an input token, thousandths for an output token; an event with an ``amount`` costs that.
"""

import json
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

INPUT, OUTPUT = Decimal("0.0001"), Decimal("0.001")
CUSTOMER_KEY = "ck_live_acme"
KEY_ID = "01a1b2c3-0000-7000-8000-000000000001"
"""That of ``CUSTOMER_KEY``."""
READING_KEY = "ck_live_acme_reads"
OPERATOR_KEY = "sk_live_test"
RECORDING_KEY = "sk_live_test_records"


class Refusal(Exception):
    def __init__(self, status: int, code: str, **more: Any) -> None:
        super().__init__(code)
        self.status = status
        self.body = {"status": status, "code": code, "detail": code, "errors": [], "request_id": "r"} | more


@dataclass
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Billing:
    """The books. ``faults`` are played in turn before anything else: a status, a refusal, ``cut`` for a connection that
    breaks off, or ``lose`` for an answer that gets lost after it took effect. While ``away`` every connection breaks
    off; it leaves after the next request to a path that ends in ``leaves_after``."""

    wallets: dict[str, Decimal] = field(default_factory=lambda: {"acme": Decimal(100)})
    events: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)
    authorizations: dict[str, dict[str, Any]] = field(default_factory=dict)
    answers: dict[str, tuple[str, int, Any]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    faults: deque[Any] = field(default_factory=deque)
    away: bool = False
    leaves_after: str | None = None
    address: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, request: Seen) -> tuple[int, Any]:
        key = request.headers.get("idempotency-key")
        content = json.dumps(request.body)
        if key in self.answers:
            known, status, body = self.answers[key]
            return (status, body) if known == content else (409, Refusal(409, "idempotency_conflict").body)
        try:
            status, body = self._route(request)
        except Refusal as refusal:
            status, body = refusal.status, refusal.body
        if key is not None:
            self.answers[key] = (content, status, body)
        return status, body

    def _route(self, request: Seen) -> tuple[int, Any]:
        path = request.path.partition("?")[0].removeprefix("/api/v1")
        match path.strip("/").split("/"):
            case ["events"] if isinstance(request.body, list):
                return 200, {"results": [self._one_of_many(event) for event in request.body]}
            case ["events"]:
                return 201, self.record(request.body)
            case ["authorizations"]:
                return 201, self.authorize(request.body)
            case ["authorizations", name, "capture"]:
                return 200, self.capture(name, request.body)
            case ["authorizations", name, "void"]:
                return 200, self.void(name)
            case ["customers", customer, "wallet"]:
                figures = {"available": str(self.wallet(customer)), "held": "0", "overdraft_limit": "0"}
                return 200, {"customer": customer, "balances": [{"asset": "usd", **figures}]}
            case ["key"] if request.headers.get("authorization") == f"Bearer {CUSTOMER_KEY}":
                return 200, {"id": KEY_ID, "customer": "acme", "scopes": ["authorizations:write", "wallets:read"]}
            case ["key"] if request.headers.get("authorization") == f"Bearer {READING_KEY}":
                return 200, {"customer": "acme", "scopes": ["wallets:read"]}
            case ["key"] if request.headers.get("authorization") == f"Bearer {OPERATOR_KEY}":
                return 200, {"id": str(uuid4()), "customer": None, "scopes": ["*"]}
            case ["key"] if request.headers.get("authorization") == f"Bearer {RECORDING_KEY}":
                return 200, {"customer": None, "scopes": ["events:write", "wallets:read"]}
            case ["key"]:
                raise Refusal(401, "unauthenticated")
        raise Refusal(404, "not_found")

    def wallet(self, customer: str) -> Decimal:
        if customer not in self.wallets:
            raise Refusal(404, "not_found")
        return self.wallets[customer]

    def _one_of_many(self, event: dict[str, Any]) -> dict[str, Any]:
        try:
            done = self.record(event)
        except Refusal as refusal:
            return {"id": event.get("id"), "status": "rejected", "cost": {}, "code": refusal.body["code"]}
        return {"id": done["id"], "status": "charged", "cost": done["cost"], "code": None}

    def record(self, event: dict[str, Any], held: Decimal = Decimal(0)) -> dict[str, Any]:
        name = (event["subject"], event["source"], event["id"])
        if name in self.events:
            if self.events[name]["data"] != event["data"]:
                raise Refusal(409, "event_conflict")
            return self._done(self.events[name])
        if event["type"] == "unpriced":
            raise Refusal(422, "unpriced_usage")
        amount = cost(event["data"])
        available = self.wallet(event["subject"]) + held
        if amount > available:
            raise Refusal(402, "insufficient_funds", available=str(available), required=str(amount), asset="usd")
        self.wallets[event["subject"]] = available - amount
        self.events[name] = event
        return self._done(event)

    def _done(self, event: dict[str, Any]) -> dict[str, Any]:
        balance = {"usd": str(self.wallets[event["subject"]])}
        return {"id": event["id"], "status": "charged", "cost": {"usd": str(cost(event["data"]))}, "balance": balance}

    def authorize(self, asked: dict[str, Any]) -> dict[str, Any]:
        available = self.wallet(asked["customer"])
        amount = Decimal(asked["amount"]) if "amount" in asked else cost(asked["data"])
        if amount > available:
            raise Refusal(402, "insufficient_funds", available=str(available), required=str(amount), asset="usd")
        self.wallets[asked["customer"]] -= amount
        name = str(uuid4())
        self.authorizations[name] = {"customer": asked["customer"], "amount": amount, "status": "open", "asked": asked}
        affordable = (available - Decimal(asked.get("data", {}).get("input_tokens", 0)) * INPUT) // OUTPUT
        shown = {"id": name, "status": "open", "asset": "usd", "amount": str(amount), "captured": "0"}
        return shown | {"affordable": {"output_tokens": str(affordable)}}

    def capture(self, name: str, asked: dict[str, Any]) -> dict[str, Any]:
        found = self.authorizations.get(name)
        if found is None:
            raise Refusal(404, "not_found")
        event = asked["event"]
        if found["status"] != "open" and (event["subject"], event["source"], event["id"]) not in self.events:
            raise Refusal(409, "invalid_state")
        held = found["amount"] if found["status"] == "open" else Decimal(0)
        done = self.record(event, held)
        found |= {"status": "captured", "amount": Decimal(0)}
        return {"id": name, "status": "captured", "asset": "usd", "captured": done["cost"]["usd"], "event": done}

    def void(self, name: str) -> dict[str, Any]:
        found = self.authorizations[name]
        if found["status"] != "open":
            raise Refusal(409, "invalid_state")
        self.wallets[found["customer"]] += found["amount"]
        found |= {"status": "voided", "amount": Decimal(0)}
        return {"id": name, "status": "voided"}

    def statuses(self) -> list[str]:
        return [each["status"] for each in self.authorizations.values()]


def cost(data: dict[str, Any]) -> Decimal:
    if "amount" in data:
        return Decimal(data["amount"])
    return Decimal(data.get("input_tokens", 0)) * INPUT + Decimal(data.get("output_tokens", 0)) * OUTPUT


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    billing: Billing

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _serve(self) -> None:
        billing = self.billing
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Seen(self.command, self.path, headers, json.loads(raw) if raw else None)
        with billing.lock:
            billing.seen.append(request)
            fault = "cut" if billing.away else billing.faults.popleft() if billing.faults else None
            if fault == "cut":
                self.close_connection = True
                return
            if isinstance(fault, Refusal):
                status, body = fault.status, fault.body
            elif isinstance(fault, int):
                status, body = fault, {"status": fault, "code": "unavailable", "detail": "a fault"}
            else:
                status, body = billing.answer(request)
            if billing.leaves_after is not None and request.path.endswith(billing.leaves_after):
                billing.away, billing.leaves_after = True, None
            if fault == "lose":
                self.close_connection = True
                return
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = _serve


@contextmanager
def billing() -> Iterator[Billing]:
    """A stand-in that answers, at ``address``, until the block ends."""
    found = Billing()
    handler = type("Handler", (_Handler,), {"billing": found})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    found.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()


def eventually(condition: Any, seconds: float = 30.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
