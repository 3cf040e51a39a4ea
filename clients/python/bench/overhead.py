"""What the gateway costs a call and a chunk: beside the model itself and beside a proxy that only passes bytes on.

    ANTE_URL=… ANTE_API_KEY=… CUSTOMER_KEY=… python clients/python/bench/overhead.py

A stand-in answers for the models. The three are asked in turn, so that whatever else the machine does hits all alike.
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2

HERE = Path(__file__).resolve()
SOURCES = HERE.parents[1] / "src"
MODEL = "gpt-5-mini"
LONG, SHORT = 2000, 120
PAUSE_SECONDS = 0.005
_PROMPT = [{"role": "user", "content": "x" * 400}]

_upstream: dict[str, Any] = {}


async def application(scope: Any, receive: Any, send: Any) -> None:
    """The bare proxy: the same server and HTTP client as the gateway's, and nothing in between."""
    if scope["type"] != "http":
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        return
    client = _upstream.setdefault("client", httpx2.AsyncClient(timeout=600, trust_env=False))
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    url = f"{os.environ['OPENAI_BASE_URL']}{scope['path']}"
    request = client.build_request("POST", url, content=body, headers={"content-type": "application/json"})
    response = await client.send(request, stream=True)
    kept = [(name, value) for name, value in response.headers.raw if name.lower() == b"content-type"]
    await send({"type": "http.response.start", "status": response.status_code, "headers": kept})
    async for chunk in response.aiter_raw():
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


@contextmanager
def started(*argv: str, **settings: str) -> Iterator[str]:
    """A server on a port of its own, which is the last of its arguments. Its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(SOURCES), str(HERE.parent)])} | settings
    process = subprocess.Popen([sys.executable, "-m", *argv, "--port", str(port)], env=environment)
    try:
        while process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def whole(client: httpx2.Client, address: str) -> float:
    """Seconds for one answer in one piece."""
    began = time.perf_counter()
    body = {"model": MODEL, "messages": _PROMPT, "max_tokens": SHORT}
    client.post(f"{address}/v1/chat/completions", json=body).raise_for_status()
    return time.perf_counter() - began


def gaps(client: httpx2.Client, address: str, tokens: int) -> list[float]:
    """Seconds between the pieces of a stream, as they arrive."""
    options = {"include_usage": True}
    body = {"model": MODEL, "messages": _PROMPT, "max_tokens": tokens, "stream": True, "stream_options": options}
    arrived = []
    with client.stream("POST", f"{address}/v1/chat/completions", json=body) as response:
        response.raise_for_status()
        for _ in response.iter_raw():
            arrived.append(time.perf_counter())
    return [later - earlier for earlier, later in pairwise(arrived)]


def main() -> None:
    parser = argparse.ArgumentParser(description="The gateway's overhead beside a bare proxy's.")
    parser.add_argument("--calls", type=int, default=200, help="calls of each (default: %(default)s)")
    parser.add_argument("--streams", type=int, default=5, help="streams of each kind (default: %(default)s)")
    options = parser.parse_args()
    with ExitStack() as servers, tempfile.TemporaryDirectory() as spool:
        headers = {"authorization": f"Bearer {os.environ['CUSTOMER_KEY']}"}
        client = servers.enter_context(httpx2.Client(headers=headers, timeout=600, trust_env=False))
        found: dict[str, dict[str, list[float]]] = {}
        for kind, pause in (("fast", 0.0), ("paced", PAUSE_SECONDS)):
            models = servers.enter_context(started("ante_client.models", "--pause", str(pause), "--tokens", str(LONG)))
            told = {"OPENAI_BASE_URL": models, "OPENAI_API_KEY": "none", "ANTE_GATEWAY_SPOOL": f"{spool}/{kind}"}
            serve = ("granian", "overhead:application", "--interface", "asgi", "--no-ws", "--log-level", "warning")
            bare = servers.enter_context(started(*serve, **told))
            gateway = servers.enter_context(started("ante_client.gateway", **told))
            ways = {"the model itself": models, "a bare proxy": bare, "the gateway": gateway}
            for address in ways.values():
                for _ in range(10):
                    whole(client, address)
            for way in ways:
                found.setdefault(way, {"call": [], "fast": [], "paced": []})
            if kind == "fast":
                for _ in range(options.calls):
                    for way, address in ways.items():
                        found[way]["call"].append(whole(client, address))
            for _ in range(options.streams):
                for way, address in ways.items():
                    pieces = gaps(client, address, LONG if kind == "fast" else SHORT)
                    found[way][kind] += [sum(pieces) / LONG] if kind == "fast" else pieces
    print(f"{'':20}{'a call, ms':>22}{'a chunk at full speed, µs':>28}{'between chunks sent every 5 ms, ms':>38}")
    for way, times in found.items():
        call, paced = statistics.quantiles(times["call"], n=100), statistics.quantiles(times["paced"], n=100)
        print(
            f"{way:20}{call[49] * 1e3:>9.2f} (p95 {call[94] * 1e3:>6.2f})"
            f"{statistics.median(times['fast']) * 1e6:>28.1f}"
            f"{paced[49] * 1e3:>21.2f} (p95 {paced[94] * 1e3:>6.2f})"
        )


if __name__ == "__main__":
    main()
