"""Settled exchanges, told of many at a time: counters and log lines cost half as much when their code runs hot."""

from collections.abc import Callable

from gateway.exchange import Exchange, Telling

MOST = 64


class Batch:
    """Keeps exchanges until there are many, one failed, or `tell` is called, which somebody does at every tick.

    What an exchange doesn't need for telling is let go at once: its body may be large. One that failed holds the frames
    of its failure, so it isn't kept at all. A teller that fails is reported, and costs nobody else their turn.
    """

    def __init__(self, tellers: tuple[Telling, ...], bug: Callable[[BaseException, str], None]) -> None:
        self._tellers = tellers
        self._bug = bug
        self._waiting: list[Exchange] = []

    def settle(self, exchange: Exchange) -> None:
        exchange.call.body = b""
        waiting = self._waiting
        waiting.append(exchange)
        if exchange.error is not None or len(waiting) >= MOST:
            self.tell()

    def tell(self) -> None:
        """Tell of all that wait."""
        waiting, self._waiting = self._waiting, []
        for teller in self._tellers:
            for exchange in waiting:
                try:
                    teller.settle(exchange)
                except Exception as error:  # noqa: BLE001  (a bug of ours, told where it can be seen)
                    self._bug(error, exchange.call.request_id)
