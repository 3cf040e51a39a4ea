"""``ante-mcp``: a server for agents, over standard input and output (Model Context Protocol).

An agent asks it what is left, what something would cost and how fast it may spend. It speaks for one customer, whom the
key and the environment name and never the agent. It changes nothing; with ``--authorize`` it can also set value aside
and give it back, but not charge.
"""

import argparse
import functools
import os
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, ParamSpec, TypeVar

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

from ante_client.client import Ante
from ante_client.errors import AnteError

INSTRUCTIONS = """Billing of the customer you work for. Amounts are exact decimal strings, by asset ("usd", or a unit
such as tokens). Ask for the pace before long work, and heed its advice; ask for an estimate before dear calls."""

P = ParamSpec("P")
T = TypeVar("T")

_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_SETS_ASIDE = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)


class Tools:
    """What an agent can do for ``customer``. The docstrings are what it reads."""

    def __init__(self, ante: Ante, customer: str) -> None:
        self._ante = ante
        self._customer = customer
        self._set_aside: set[str] = set()

    def balance(self) -> dict[str, Any]:
        """What is in the wallet, for each asset: available may still be spent, held is set aside for work that is
        being done, overdraft_limit is how far below zero the wallet may go."""
        return {
            asset: _texts({name: getattr(found, name) for name in ("available", "held", "overdraft_limit")})
            for asset, found in self._ante.balance(self._customer).items()
        }

    def estimate(self, type: str, data: dict[str, Any]) -> dict[str, str]:
        """What usage would cost now, by asset. type is the kind of event, such as "llm.completion"; data are its
        quantities and what prices go by: {"model": "gpt-4o", "input_tokens": 1200, "output_tokens": 4000}."""
        return _texts(self._ante.estimate(self._customer, type, data).cost)

    def usage(self, days: int = 30) -> dict[str, Any]:
        """What was used in the last so many days: amount_due by asset, quantity by meter."""
        end = datetime.now(UTC)
        found = self._ante.usage.summary(self._customer, start=end - timedelta(days=days), end=end)
        due, quantity = _texts(found.amount_due), _texts(found.quantity)
        return {"from": found.start, "to": found.end, "amount_due": due, "quantity": quantity}

    def pace(self, asset: str | None = None) -> dict[str, Any]:
        """How much may be spent each hour (per_hour) so that the wallet and the tightest budget last, and what was
        spent in the last hour. advice is keep, cheaper_model, slow_down or stop."""
        return dict(self._ante.pace(self._customer, asset).raw)

    def budgets(self) -> dict[str, Any]:
        """The limits on what may be spent: which usage each covers (scope), what it has left and when it starts anew.
        A hard one refuses what would pass it."""
        return {"budgets": [dict(each.raw) for each in self._ante.budgets(self._customer)]}

    def authorize(self, type: str, data: dict[str, Any], minutes: int = 10) -> dict[str, Any]:
        """Set aside what usage would cost at most, for so many minutes. The id is for whoever captures it; affordable
        says how much of each quantity the wallet would carry. Refused where the wallet or a budget does not suffice."""
        found = self._ante.wallet.authorize(self._customer, type, data, expires_in=60 * minutes)
        affordable = _texts(found.affordable)
        if found.id is not None:
            self._set_aside.add(found.id)
        return {"id": found.id, "asset": found.asset, "amount": format(found.amount, "f"), "affordable": affordable}

    def void(self, authorization: str) -> str:
        """Give back all that an authorization which you asked for here still has set aside."""
        # An operator's key would reach those of every customer, and of the application's own work.
        if authorization not in self._set_aside:
            raise ToolError("Nothing was set aside here under this id.")
        self._ante.wallet.void(authorization, reason="An agent gave it back.")
        return "It is given back."


def server(ante: Ante, customer: str, *, authorizes: bool = False) -> MCPServer:
    """The server of one customer. ``authorizes``: with the tools that set value aside."""
    tools = Tools(ante, customer)
    made = MCPServer("ante", instructions=INSTRUCTIONS, log_level="WARNING")
    for reads in (tools.balance, tools.estimate, tools.usage, tools.pace, tools.budgets):
        made.add_tool(_saying_why(reads), annotations=_READS)
    if authorizes:
        for sets_aside in (tools.authorize, tools.void):
            made.add_tool(_saying_why(sets_aside), annotations=_SETS_ASIDE)
    return made


def main() -> int:
    """Serve until the agent's program closes the input. What is wrong with the settings is said in one sentence."""
    parser = argparse.ArgumentParser(prog="ante-mcp", description="What an agent may know of its customer's wallet.")
    parser.add_argument("--authorize", action="store_true", help="let agents set value aside, and give it back")
    options = parser.parse_args()
    url, key = os.environ.get("ANTE_URL"), os.environ.get("ANTE_API_KEY")
    if not url or not key:
        parser.error("ANTE_URL and ANTE_API_KEY are needed")
    with Ante(url, key) as ante:
        try:
            customer = ante.whose_key().customer or os.environ.get("ANTE_CUSTOMER")
        except AnteError as error:
            print(error, file=sys.stderr)
            return 1
        if not customer:
            parser.error("With an operator's key, ANTE_CUSTOMER says whose wallet it is")
        server(ante, customer, authorizes=options.authorize).run()
    return 0


def _saying_why(tool: Callable[P, T]) -> Callable[P, T]:
    """The agent reads of a refusal what it can put right; of anything else, only that it went wrong."""

    @functools.wraps(tool)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return tool(*args, **kwargs)
        except AnteError as error:
            raise ToolError(str(error)) from error

    return call


def _texts(amounts: Mapping[str, Decimal]) -> dict[str, str]:
    return {name: format(amount, "f") for name, amount in amounts.items()}


if __name__ == "__main__":
    sys.exit(main())
