"""A table of backends, and attempts at them, told in seconds from 1000. What tests of the table share."""

from gateway.errors import (
    UpstreamBroken,
    UpstreamBusy,
    UpstreamDenied,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamRefused,
    UpstreamSlow,
    UpstreamUnavailableHere,
    UpstreamUnreachable,
)
from gateway.exchange import Attempt
from gateway.routing.candidate import Candidate
from gateway.routing.facts import Work
from gateway.routing.snapshot import Load, Pace
from gateway.settings.shape import Backend, Provider, Target
from gateway.upstream.health import Health

PROVIDER = Provider(name="p", speaks="openai_chat")
# 20 ms of network, 100 ms at least, a tenth of a millisecond a token.
RTT_MS, FIRST_MS = 20.0, 100.0
WORK = Work(1000, stream=True)
PREDICTED_MS = RTT_MS + FIRST_MS + 100.0 + 1.0

BROKEN = UpstreamBroken("It broke.", upstream_status=500)
SLOW = UpstreamSlow("Too slow.")
UNREACHABLE = UpstreamUnreachable("Nobody listens.")
DENIED = UpstreamDenied("Our key.", upstream_status=401)
LATER = UpstreamBusy("Later.", upstream_status=429, retry_after_s=20.0)
BUSY = UpstreamBusy("Busy.", upstream_status=429)
FULL = UpstreamOverloaded("Full.", upstream_status=529)
FULL_UNTIL = UpstreamOverloaded("Full.", upstream_status=503, retry_after_s=20.0)
OURS = UpstreamOverloaded("Too many of ours.")
REFUSED = UpstreamRefused("You did.", upstream_status=400)
NOT_HERE = UpstreamUnavailableHere("Not here.", upstream_status=403)


def backend(name: str, url: str = "http://10.1.0.7", **more: object) -> Backend:
    fields = {"country": "DE", "region": "eu-central", **more}
    return Backend(name=name, provider=PROVIDER, base_urls=(url,), **fields)  # type: ignore[arg-type]  # as it is named


def candidate(name: str = "a", model: str = "m", *, only_here: bool = False, slots: int = 0) -> Candidate:
    return Candidate(
        0,
        name,
        model,
        slots=slots,
        rtt_ms=RTT_MS,
        first_ms=FIRST_MS,
        ms_per_token_in=0.1,
        ms_per_token_out=10.0,
        only_here=only_here,
    )


class Table:
    """Backends `a`, `b`, … that all serve `m`."""

    def __init__(self, *names: str, models: tuple[str, ...] = ("m",)) -> None:
        self.backends = {name: backend(name) for name in names or ("a",)}
        self.models = {
            model: tuple(Target(backend=one, model=model) for one in self.backends.values()) for model in models
        }
        self.health = Health(self.backends, self.models)

    def load(self, name: str = "a") -> Load:
        return self.health.snapshot.loads[name]

    def pace(self, name: str = "a", model: str = "m") -> Pace:
        return self.health.snapshot.paces[name, model]

    def begin(
        self,
        at: float,
        name: str = "a",
        model: str = "m",
        *,
        work: Work | None = WORK,
        only_here: bool = False,
        slots: int = 0,
    ) -> Attempt:
        attempt = Attempt(Target(backend=self.backends[name], model=model), at)
        self.health.began(attempt, candidate(name, model, only_here=only_here, slots=slots), work)
        return attempt

    def first(self, attempt: Attempt, at: float) -> None:
        attempt.first_content = at
        self.health.first(attempt)

    def answer(self, attempt: Attempt, at: float, *, tokens: int = 0, stream: bool = True) -> None:
        attempt.ended = at
        attempt.outcome = "answered"
        self.health.ended(attempt, output_tokens=tokens, stream=stream)

    def leave(self, attempt: Attempt, at: float) -> None:
        attempt.ended = at
        attempt.outcome = "caller_left"
        self.health.ended(attempt, stream=True)

    def fail(self, attempt: Attempt, at: float, error: UpstreamError) -> None:
        attempt.ended = at
        attempt.outcome = error.reason
        self.health.ended(attempt, hurts=error.hurts_health, error=error, stream=True)

    def asked(self, at: float, name: str = "a", error: UpstreamError | None = None) -> None:
        """One whole attempt of 10 ms."""
        attempt = self.begin(at, name)
        if error is None:
            self.answer(attempt, at + 0.01, stream=False)
        else:
            self.fail(attempt, at + 0.01, error)
