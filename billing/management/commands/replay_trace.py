import csv
import hashlib
import http.client
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.services import api_keys
from billing.engine.money import amount_string
from billing.management.progress import Progress

COLUMNS = ["TIMESTAMP", "ContextTokens", "GeneratedTokens"]
TIMEOUT_SECONDS = 30


class Command(BaseCommand):
    help = (
        "Send a trace of LLM requests through the HTTP API as usage of one customer. The columns TIMESTAMP, "
        "ContextTokens and GeneratedTokens become events with input_tokens and output_tokens. An event's id comes from "
        "the file's content and its line, so that the same file again charges nothing twice."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="The trace, as CSV.")
        parser.add_argument("--customer", required=True, help="The customer's external id.")
        parser.add_argument("--url", default=settings.BASE_URL, help="Where the API is (default: %(default)s).")
        parser.add_argument("--api-key", help="A key with events:write (default: one made for this run).")
        parser.add_argument("--type", default="llm.completion", help="The events' type (default: %(default)s).")
        parser.add_argument("--model", default="gpt-4o", help="The model named in the events (default: %(default)s).")
        parser.add_argument("--batch", type=int, default=100, help="Events in a request, 1 to 1000 (default: 100).")
        parser.add_argument("--speed", type=float, help="Keep the trace's pace, this many times as fast.")
        parser.add_argument("--patience", type=float, default=60, help="Seconds to go on trying while nobody answers.")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 1 <= options["batch"] <= 1000:
            raise CommandError("--batch must be from 1 to 1000.")
        if options["speed"] is not None and options["speed"] <= 0:
            raise CommandError("--speed must be greater than zero.")
        events = self._read(options)
        with _key(options["api_key"]) as secret:
            api = _Api(options["url"], secret, patience_seconds=options["patience"])
            self._replay(api, events, options)

    def _read(self, options: dict[str, Any]) -> list[tuple[float, dict[str, Any]]]:
        """The events, each with its offset in seconds from the first."""
        path: Path = options["file"]
        try:
            content = path.read_bytes()
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}.") from error
        rows = csv.DictReader(content.decode("utf-8-sig").splitlines())
        if rows.fieldnames is None or not set(COLUMNS) <= set(rows.fieldnames):
            raise CommandError(f"{path} lacks a header with the columns {', '.join(COLUMNS)}.")
        digest = hashlib.sha256(content).hexdigest()[:16]
        events: list[tuple[float, dict[str, Any]]] = []
        first: datetime | None = None
        for row in rows:
            try:
                moment = datetime.fromisoformat(row["TIMESTAMP"][:26])
                tokens = {"input_tokens": int(row["ContextTokens"]), "output_tokens": int(row["GeneratedTokens"])}
            except (ValueError, TypeError) as error:
                raise CommandError(f"{path}, line {rows.line_num}: {error}.") from error
            first = first or moment
            event = {
                "specversion": "1.0",
                "id": f"{digest}-{rows.line_num}",
                "source": "replay_trace",
                "type": options["type"],
                "subject": options["customer"],
                "data": {"model": options["model"], **tokens},
            }
            events.append(((moment - first).total_seconds(), event))
        return events

    def _replay(self, api: "_Api", events: Sequence[tuple[float, dict[str, Any]]], options: dict[str, Any]) -> None:
        totals: Counter[str] = Counter()
        codes: Counter[str] = Counter()
        cost: dict[str, Decimal] = {}
        started = time.monotonic()
        with Progress(self.stdout, total=len(events), unit="events") as progress:
            for batch in _paced(events, options["batch"], options["speed"], started):
                answer = api.post("/api/v1/events", batch)
                for name in ("accepted", "duplicates", "rejected"):
                    totals[name] += answer[name]
                for result in answer["results"]:
                    if result["code"]:
                        codes[result["code"]] += 1
                    elif not result.get("replayed"):
                        for asset, amount in result["cost"].items():
                            cost[asset] = cost.get(asset, Decimal(0)) + Decimal(amount)
                progress.advance(len(batch))
        seconds = time.monotonic() - started
        charged = ", ".join(f"{amount_string(amount)} {asset}" for asset, amount in cost.items()) or "nothing"
        self.stdout.write(
            f"{len(events):,} events in {seconds:.1f} s ({len(events) / max(seconds, 0.001):,.0f}/s): "
            f"{totals['accepted']:,} accepted, {totals['duplicates']:,} duplicates, {totals['rejected']:,} rejected."
        )
        self.stdout.write(f"Charged: {charged}.")
        for code, count in codes.most_common():
            self.stdout.write(f"  {count:,} × {code}")
        wallet = api.get(f"/api/v1/customers/{options['customer']}/wallet")
        for balance in wallet["balances"] if wallet else []:
            self.stdout.write(f"Available now: {balance['available']} {balance['asset']}")


def _paced(
    events: Sequence[tuple[float, dict[str, Any]]], size: int, speed: float | None, started: float
) -> Iterator[list[dict[str, Any]]]:
    """Batches of events; with ``speed``, each when its last event is due."""
    for start in range(0, len(events), size):
        part = events[start : start + size]
        if speed is not None:
            time.sleep(max(0.0, started + part[-1][0] / speed - time.monotonic()))
        yield [event for _, event in part]


@contextmanager
def _key(given: str | None) -> Iterator[str]:
    """The key that was given, or one that lives as long as this run."""
    if given:
        yield given
        return
    key, secret = api_keys.issue(name="replay_trace", scopes=["events:write", "wallets:read"])
    try:
        yield secret
    finally:
        api_keys.revoke(key)


class _Api:
    """One connection to the API that is opened again whenever it breaks: sending an event twice is safe."""

    def __init__(self, url: str, secret: str, *, patience_seconds: float) -> None:
        self._address = urlsplit(url)
        self._headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        self._patience_seconds = patience_seconds
        self._connection: http.client.HTTPConnection | None = None

    def post(self, path: str, body: Any) -> Any:
        return self._request("POST", path, json.dumps(body))

    def get(self, path: str) -> Any:
        return self._request("GET", path, None)

    def _request(self, method: str, path: str, body: str | None) -> Any:
        deadline = time.monotonic() + self._patience_seconds
        while True:
            try:
                status, text = self._once(method, path, body)
            except (OSError, http.client.HTTPException) as error:
                self._connection = None
                status, text = 0, f"{type(error).__name__}: {error}"
            if 200 <= status < 300:
                return json.loads(text)
            if status not in {0, 429, 502, 503} or time.monotonic() > deadline:
                raise CommandError(f"{method} {path} was answered {status or 'nothing'}: {text}")
            time.sleep(0.5)

    def _once(self, method: str, path: str, body: str | None) -> tuple[int, str]:
        if self._connection is None:
            kind = http.client.HTTPSConnection if self._address.scheme == "https" else http.client.HTTPConnection
            self._connection = kind(self._address.netloc, timeout=TIMEOUT_SECONDS)
        self._connection.request(method, path, body, self._headers)
        response = self._connection.getresponse()
        return response.status, response.read().decode()
