"""How long answers are, learned of settled exchanges: who waits for nothing learns many at a time."""

from typing import Final

from gateway.exchange import Exchange
from gateway.routing.estimate import Lengths

# Between two answers that are learned from: of more of them a thousand a second say as much as all.
EVERY_S: Final = 0.001


class Learner:
    """Tells `lengths` of answers that their backends counted."""

    def __init__(self, lengths: Lengths) -> None:
        self.lengths = lengths
        self._due = 0.0

    def settle(self, exchange: Exchange) -> None:
        ended = exchange.ended
        if self._due - EVERY_S <= ended < self._due:
            return
        self._due = ended + EVERY_S
        usage = exchange.usage
        if exchange.complete and usage is not None and usage.output_tokens and not usage.estimated:
            caller = exchange.call.caller
            self.lengths.saw(caller.name if caller is not None else "", exchange.model, usage.output_tokens)
