"""How long answers are, learned of settled exchanges: who waits for nothing learns many at a time."""

from gateway.exchange import Exchange
from gateway.routing.estimate import Lengths


class Learner:
    """Tells `lengths` of every answer that its backend counted."""

    def __init__(self, lengths: Lengths) -> None:
        self.lengths = lengths

    def settle(self, exchange: Exchange) -> None:
        usage = exchange.usage
        if exchange.complete and usage is not None and usage.output_tokens and not usage.estimated:
            caller = exchange.call.caller
            self.lengths.saw(caller.name if caller is not None else "", exchange.model, usage.output_tokens)
