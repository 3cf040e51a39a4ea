"""``ante-gateway``, or ``python -m ante_client.gateway``: the gateway under granian, configured by the environment."""

import argparse
import os
import sys

from ante_client import models
from ante_client.gateway.settings import Misconfigured, read

STAND_IN_PAUSE_SECONDS = 0.02


def main() -> int:
    """Serve until asked to stop. What is wrong with the settings is said in one sentence."""
    parser = argparse.ArgumentParser(prog="ante-gateway", description="A metering reverse proxy for model providers.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8100, help="default: %(default)s")
    parser.add_argument("--workers", type=int, default=1, help="processes (default: %(default)s)")
    parser.add_argument("--stand-in", action="store_true", help="answer with a stand-in instead of real models")
    options = parser.parse_args()
    if options.stand_in:
        _stand_in()
    try:
        settings = read()
    except Misconfigured as error:
        print(error, file=sys.stderr)
        return 1
    from granian import Granian
    from granian.constants import Interfaces
    from granian.log import LogLevels

    print(f"The gateway for {settings.url} listens on http://{options.host}:{options.port}", flush=True)
    Granian(
        "ante_client.gateway.app:application",
        address=options.host,
        port=options.port,
        interface=Interfaces.ASGI,
        workers=options.workers,
        websockets=False,
        log_level=LogLevels.warning,
        respawn_failed_workers=True,
        workers_kill_timeout=5,
    ).serve()
    return 0


def _stand_in() -> None:
    """All models are answered for by a stand-in of this process, whatever keys there are."""
    standing_in = models.serve(behaviour=models.Behaviour(pause=STAND_IN_PAUSE_SECONDS))
    os.environ.pop("ANTE_GATEWAY_ROUTES", None)
    for provider in ("OPENAI", "ANTHROPIC"):
        os.environ |= {f"{provider}_BASE_URL": standing_in.address, f"{provider}_API_KEY": "stand-in"}


if __name__ == "__main__":
    sys.exit(main())
