"""How far a stream may go, where it is to be cut when nothing pays for more of it."""

import asyncio
from contextlib import suppress
from dataclasses import replace

from ante_client.aio import AsyncAnte
from ante_client.asking import ask_async
from ante_client.client import CHARGE_SECONDS
from ante_client.errors import AnteError
from ante_client.inference import AsyncInference
from ante_client.providers import Asked


class Allowance:
    """What was set aside before the call, ``tokens``, and more of it while there is more, ``step`` at a time.

    ``most`` is what the wallet affords or None, as ``asking`` has it.
    """

    def __init__(self, ante: AsyncAnte, run: AsyncInference, asked: Asked, most: int | None, step: int) -> None:
        self.tokens = asked.output_tokens if most is None else min(most, asked.output_tokens)
        self._ante = ante
        self._run = run
        self._further = replace(asked, input_tokens=0, output_tokens=max(step, 1), answers=1, limited=True)
        self._runs: list[AsyncInference] = []

    async def grow(self) -> bool:
        """Set aside more; False where the wallet or a budget has nothing left for it, or nobody can be asked."""
        run = self._run
        id = f"{run.id}:more:{len(self._runs) + 1}"
        further = AsyncInference(self._ante, run.customer, run.type, run.data, id=id, fail=run.fail)
        further.data["inference_id"] = run.id
        try:
            bound = await ask_async(further, self._further)
        except AnteError:
            return False
        self._runs.append(further)
        self.tokens += self._further.output_tokens if bound is None else bound
        return True

    async def give_back(self) -> None:
        """What was set aside beyond the first: the call is charged in one piece. What stays lapses by itself."""
        runs, self._runs = self._runs, []
        with suppress(AnteError, TimeoutError):
            async with asyncio.timeout(CHARGE_SECONDS):
                await asyncio.gather(*(run.void("charged with the first") for run in runs))
