"""The works of the benchmark and what each must reach. A new one is a new row here."""

from typing import Literal

import msgspec

from tests.bench.bodies import (
    EVENTS,
    JSON_ANSWER,
    MESSAGE_ANSWER,
    MESSAGE_STREAM_ANSWER,
    STREAM_ANSWER,
    Answer,
    chat_answer,
    chat_request,
    message_request,
    stream_events,
)
from tests.bench.lineup import CHAT_PATH, MESSAGES_PATH, Upstream
from tests.bench.loads import Idle, Load, OwnTime, Saturating, Scheduled

_JSON_BYTES = len(chat_answer())
_STREAM_BYTES = sum(len(event) for event in stream_events())


class Goal(msgspec.Struct, frozen=True):
    """The greatest value of one figure of the gateway's row that is good enough, and the one we would like."""

    figure: str
    must: float
    aim: float | None = None

    def reached(self, value: float) -> Literal["aim", "must", "no"]:
        """The best of the two bounds that `value` keeps."""
        if self.aim is not None and value <= self.aim:
            return "aim"
        return "must" if value <= self.must else "no"


class Work(msgspec.Struct, frozen=True):
    """One kind of traffic: who answers, what is asked, how load is put on, who takes part.

    `plain` is what the contender `passthrough` asks instead: the same gateway, in the language of the model server.
    `events` are those of one answer.
    """

    name: str
    upstream: Upstream
    body: bytes
    answer: Answer | None  # None: it has no end to be checked
    answer_bytes: int
    load: Load
    goals: tuple[Goal, ...]
    contenders: tuple[str, ...] = ("nginx", "gateway")
    once: bool = False
    path: str = CHAT_PATH
    plain: "Plain | None" = None
    events: int = 0


class Plain(msgspec.Struct, frozen=True):
    """The same question without a change of language, and what its answer must be."""

    body: bytes
    answer: Answer
    answer_bytes: int


class Decision(msgspec.Struct, frozen=True):
    """The routing decision alone, among so many places: nobody answers, nothing is sent."""

    name: str
    places: int
    goals: tuple[Goal, ...]
    contenders: tuple[str, ...] = ("gateway",)
    events: int = 0


# By this name all of them are asked for.
PLAN = "plan"
DECISIONS = (
    Decision("plan_1", 1, (Goal("cpu_us", must=10),)),
    Decision("plan_3", 3, (Goal("cpu_us", must=10),)),
    Decision("plan_12", 12, (Goal("cpu_us", must=25, aim=22),)),
    Decision("plan_64", 64, (Goal("cpu_us", must=150),)),
)

_CHAT = chat_request(Upstream.CHAT.model, 400)
_LONG_CHAT = chat_request(Upstream.CHAT.model, 64 * 1024, turns=16)
_STREAM = chat_request(Upstream.BURST.model, 460, stream=True)

WORKS = (
    Work(
        name="json_400b",
        upstream=Upstream.CHAT,
        body=_CHAT,
        answer=JSON_ANSWER,
        answer_bytes=_JSON_BYTES,
        load=Saturating(connections=32),
        goals=(Goal("ratio_to_nginx", must=4.5, aim=3.2),),
    ),
    Work(
        name="sse_64_paced",
        upstream=Upstream.PACED,
        body=chat_request(Upstream.PACED.model, 460, stream=True),
        answer=STREAM_ANSWER,
        answer_bytes=_STREAM_BYTES,
        load=Scheduled(rate_per_s=50, streams=True),
        goals=(Goal("ratio_to_nginx", must=2.0, aim=1.5),),
    ),
    Work(
        name="sse_64",
        upstream=Upstream.BURST,
        body=_STREAM,
        answer=STREAM_ANSWER,
        answer_bytes=_STREAM_BYTES,
        load=Saturating(connections=16),
        goals=(Goal("ratio_to_nginx", must=1.5, aim=1.2),),
    ),
    Work(
        name="json_64k",
        upstream=Upstream.CHAT,
        body=_LONG_CHAT,
        answer=JSON_ANSWER,
        answer_bytes=_JSON_BYTES,
        load=Saturating(connections=16),
        goals=(Goal("ratio_to_nginx", must=4.0, aim=3.0),),
    ),
    Work(
        name="cross_sse_64",
        upstream=Upstream.BURST,
        body=message_request(Upstream.BURST.model, 460, stream=True),
        answer=MESSAGE_STREAM_ANSWER,
        answer_bytes=_STREAM_BYTES // 4,  # names of the language are shorter, so only a cut answer is below this
        load=Saturating(connections=16),
        goals=(Goal("over_passthrough_event_us", must=8),),
        contenders=("passthrough", "gateway"),
        path=MESSAGES_PATH,
        plain=Plain(_STREAM, STREAM_ANSWER, _STREAM_BYTES),
        events=EVENTS,
    ),
    Work(
        name="cross_json_64k",
        upstream=Upstream.CHAT,
        body=message_request(Upstream.CHAT.model, 64 * 1024, turns=16),
        answer=MESSAGE_ANSWER,
        answer_bytes=_JSON_BYTES // 2,
        load=Saturating(connections=16),
        goals=(Goal("cpu_us", must=2000),),
        contenders=("passthrough", "gateway"),
        path=MESSAGES_PATH,
        plain=Plain(_LONG_CHAT, JSON_ANSWER, _JSON_BYTES),
    ),
    Work(
        name="lat_500",
        upstream=Upstream.CHAT,
        body=_CHAT,
        answer=JSON_ANSWER,
        answer_bytes=_JSON_BYTES,
        load=Scheduled(rate_per_s=500),
        goals=(Goal("over_nginx_p50_us", must=100), Goal("over_nginx_p99_us", must=1500)),
        contenders=("direct", "nginx", "gateway"),
    ),
    Work(
        name="own_time_1m",
        upstream=Upstream.CHAT,
        body=_CHAT,
        answer=JSON_ANSWER,
        answer_bytes=_JSON_BYTES,
        load=OwnTime(connections=4),
        goals=(Goal("own_p999_over_p50", must=20, aim=8),),
        contenders=("gateway",),
        once=True,
    ),
    Work(
        name="idle_streams",
        upstream=Upstream.HELD,
        body=chat_request(Upstream.HELD.model, 460, stream=True),
        answer=None,
        answer_bytes=0,
        load=Idle(),
        goals=(Goal("kib_per_stream", must=40, aim=20),),
        once=True,
    ),
)
