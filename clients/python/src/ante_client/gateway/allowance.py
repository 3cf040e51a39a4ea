"""How far a stream may go, where it is to be cut when nothing pays for more of it."""

from dataclasses import replace

from ante_client.aio import AsyncAnte
from ante_client.asking import ask_async
from ante_client.errors import AnteError
from ante_client.forward import CHARGED_TOGETHER
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
        self._asks = 0
        self._further = replace(asked, input_tokens=0, output_tokens=max(step, 1), answers=1, limited=True)
        self.further: list[str] = []
        """The authorizations of it, beyond the first."""

    async def grow(self) -> bool:
        """Set aside more; False where the wallet or a budget has nothing left for it, or nobody can be asked."""
        run = self._run
        self._asks += 1
        id = f"{run.id}:more:{self._asks}"
        further = AsyncInference(self._ante, run.customer, run.type, run.data, id=id, fail=run.fail, key_id=run.key_id)
        further.data["inference_id"] = run.id
        try:
            bound = await ask_async(further, self._further)
        except AnteError:
            return False
        if further.held is not None:
            self.further.append(further.held)
        self.tokens += self._further.output_tokens if bound is None else bound
        return True

    async def give_back(self) -> None:
        """The call is charged in one piece, which may need what was set aside beyond the first. Raises ``AnteError``
        where some of it is still to be given back."""
        while self.further:
            await self._ante.wallet.void(self.further[-1], reason=CHARGED_TOGETHER)
            self.further.pop()
