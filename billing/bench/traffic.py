"""The requests that the benchmark sends, as bytes, and which answers are right. It keeps account of what they cost."""

import itertools
from collections.abc import Callable, Sequence
from decimal import Decimal
from random import Random

from billing.bench import shop
from billing.bench.load import Request

_EVENT = (
    '{{"specversion":"1.0","id":"{id}","source":"bench","type":"{type}","subject":"{subject}",'
    '"data":{{"model":"gpt-4o-2024-08-06","input_tokens":{input},"output_tokens":{output},"user":"u_17",'
    '"project":"search","feature":"code-review","session":"s_9"}}}}'
)
SIZES = 97
"""How many different events there are, but for their ids."""


class Traffic:
    """Requests with ids that are never used twice. ``cost`` and ``events`` count what was answered as charged."""

    def __init__(self, *, host: str, key: str, customers: Sequence[str]) -> None:
        self.host = host
        self.key = key
        self.customers = customers
        self.events = 0
        self.cost = Decimal(0)
        self._numbers = itertools.count(1)
        # Pseudo-random, the same in every run: only the order of wallets and sizes hangs on it.
        self._random = Random(20)  # noqa: S311
        sizes = ((self._random.randint(50, 8000), self._random.randint(5, 1500)) for _ in range(SIZES))
        self._sizes = [
            (input_, output, input_ * shop.INPUT_PRICE + output * shop.OUTPUT_PRICE) for input_, output in sizes
        ]

    def single(self, *, hot: bool = False) -> Callable[[], Request]:
        """One event a request, on any wallet or all on one."""

        def request() -> Request:
            event, cost = self._event(shop.HOT if hot else self._random.choice(self.customers))

            def is_right(status: int, body: bytes) -> bool:
                if status != 201 or b'"status":"charged"' not in body:
                    return False
                self._charged(1, cost)
                return True

            return Request(self._post(event.encode()), is_right)

        return request

    def batch(self, size: int, *, one_meter: bool = False) -> Callable[[], Request]:
        """``size`` events a request, each on any wallet; two charges each, or one."""

        def request() -> Request:
            made = [self._event(self._random.choice(self.customers), one_meter=one_meter) for _ in range(size)]
            total = sum((cost for _, cost in made), Decimal(0))

            def is_right(status: int, body: bytes) -> bool:
                beginning = b'{"accepted":%d,"duplicates":0,"rejected":0,' % size
                if status != 200 or not body.startswith(beginning):
                    return False
                self._charged(size, total)
                return True

            body = "[" + ",".join(event for event, _ in made) + "]"
            return Request(self._post(body.encode()), is_right, weight=size)

        return request

    def refused(self) -> Callable[[], Request]:
        """An event without a key: as far as a request gets without touching the database."""
        event, _ = self._event(shop.HOT)
        content = self._post(event.encode(), authorized=False)
        return lambda: Request(content, lambda status, body: status == 401)

    def empty(self) -> Callable[[], Request]:
        """A view that does nothing but say that it takes only GET: that one is answered without Django."""
        content = self._get("/healthz").replace(b"GET", b"OPTIONS", 1)
        return lambda: Request(content, lambda status, body: status == 405)

    def balance(self) -> Callable[[], Request]:
        """What a wallet has."""

        def request() -> Request:
            path = f"/api/v1/customers/{self._random.choice(self.customers)}/wallet"
            return Request(self._get(path), lambda status, body: status == 200 and b'"available":"' in body)

        return request

    def _event(self, subject: str, *, one_meter: bool = False) -> tuple[str, Decimal]:
        input_, output, cost = self._sizes[self._random.randrange(SIZES)]
        text = _EVENT.format(
            id=f"bench-{next(self._numbers)}",
            type=shop.ONE_METER_TYPE if one_meter else shop.EVENT_TYPE,
            subject=subject,
            input=input_,
            output=output,
        )
        return text, input_ * shop.INPUT_PRICE if one_meter else cost

    def _charged(self, events: int, cost: Decimal) -> None:
        self.events += events
        self.cost += cost

    def _get(self, path: str) -> bytes:
        return f"GET {path} HTTP/1.1\r\nHost: {self.host}\r\nAuthorization: Bearer {self.key}\r\n\r\n".encode()

    def _post(self, body: bytes, *, authorized: bool = True) -> bytes:
        authorization = f"Authorization: Bearer {self.key}\r\n" if authorized else ""
        head = (
            f"POST /api/v1/events HTTP/1.1\r\nHost: {self.host}\r\n{authorization}"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body
