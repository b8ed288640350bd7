"""WebSockets: handshakes forwarded like requests, and how many tunnels a caller may have open.

Counted in this worker, by the caller's identity; on public routes by the client's address. Leans on
``proxying.forwarding`` over the transport of handshakes.
"""

from __future__ import annotations

from collections import Counter

from proxying.errors import TooManyWebSockets
from proxying.exchange import Answer, Exchange
from proxying.forwarding import Forwarder
from proxying.snapshot import Plan


class WebSockets:
    """Opens them through *forwarder*, at most *max_per_caller* at a time for each caller."""

    def __init__(self, forwarder: Forwarder, *, max_per_caller: int) -> None:
        self._forwarder = forwarder
        self._max_per_caller = max_per_caller
        self._open: Counter[str] = Counter()

    async def open(self, exchange: Exchange, plan: Plan) -> Answer:
        """The upstream's answer; a 101 has the link to it.

        Raises ``TooManyWebSockets``, and what ``Forwarder.forward`` raises.
        """
        who = exchange.caller.identity if exchange.caller else f"address:{exchange.client}"
        if self._open[who] >= self._max_per_caller:
            raise TooManyWebSockets(self._max_per_caller)
        self._open[who] += 1
        try:
            answer = await self._forwarder.forward(exchange, plan)
        except BaseException:
            self._closed(who)
            raise
        release = answer.on_close

        def closed(error: BaseException | None) -> None:
            self._closed(who)
            if release is not None:
                release(error)

        answer.on_close = closed
        return answer

    def _closed(self, who: str) -> None:
        self._open[who] -= 1
        if not self._open[who]:
            del self._open[who]
