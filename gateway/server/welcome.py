"""What a head was greeted with, kept beside it: the same head on the same connection needn't be looked at again."""

from msgspec import Struct

from gateway.exchange import Call
from gateway.pipeline import Runtime
from gateway.server.routes import Route
from gateway.settings.shape import Caller
from gateway.wire import Addressed

NEVER = float("inf")


class Welcome(Struct, frozen=True, gc=False):
    """Good for one runtime, so a reload that takes a key away takes this with it; and until the key expires.

    `kept` is what the pipeline adds to it.
    """

    runtime: Runtime
    route: Route
    caller: Caller
    addressed: Addressed
    most_bytes: int
    until: float
    kept: dict[str, object]

    def holds(self, runtime: Runtime, wall: float) -> bool:
        return self.runtime is runtime and wall < self.until


def welcome(call: Call, runtime: Runtime, route: Route, most_bytes: int) -> Welcome | None:
    """A welcome for a call that was greeted with a key; None where nothing is worth keeping."""
    caller = call.caller
    if caller is None or route.slow:
        return None
    until = NEVER if caller.expires_at is None else caller.expires_at
    return Welcome(runtime, route, caller, call.addressed, most_bytes, until, call.kept)
