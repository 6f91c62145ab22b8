"""What a finished request means: its cost, its place in the counters, its line in the log, its span.

Synchronous and called exactly once, from a `finally`: nothing here waits, so nothing here can be cancelled.
"""

from gateway.exchange import Exchange, Telling
from gateway.features import Usage
from gateway.upstream.prices import Prices


class Settler:
    """Settles exchanges: money first, then everyone who wants to know."""

    def __init__(self, prices: Prices, told: tuple[Telling, ...]) -> None:
        self.prices = prices
        self._told = told

    def settle(self, exchange: Exchange, now: float) -> None:
        """Close the books of one request; `now` is monotonic seconds. A second call changes nothing."""
        if exchange.settled:
            return
        exchange.settled = True
        exchange.ended = now
        exchange.own_s = exchange.overhead_s(now)
        if exchange.usage is None and exchange.pieces:
            # A stream that broke or whose caller left ends without its usage: what was delivered is counted, a token
            # an event, and said to be an estimate. English prompts run at about four bytes a token.
            exchange.usage = Usage(exchange.bytes_in // 4, exchange.pieces, estimated=True)
        if exchange.usage is not None and exchange.target is not None:
            exchange.cost_usd = self.prices.cost_usd(exchange.target, exchange.usage)
        for told in self._told:
            told.settle(exchange)
