"""What a gateway learns of a backend from its own requests. A whole gateway, by a clock moved by hand."""

import asyncio

from gateway.clock import HandClock
from tests.doubles.inside import KEY, Inside, backend, settings_for
from tests.upstream.scripted import Upstream, sized, turn

ASKED = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
ANSWER = (
    b'{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":1,"completion_tokens":50}}'
)


async def test_a_whole_answer_that_takes_a_minute_is_one_attempt_and_no_estimate_of_a_first_token() -> None:
    clock = HandClock()
    async with Upstream([]) as first, Upstream() as second:
        models = {"m": [backend("first", first.url), backend("second", second.url)]}
        async with Inside(settings_for(models), clock) as inside:
            reader, writer = await asyncio.open_connection("127.0.0.1", inside.port)
            writer.write(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %b\r\n"
                b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (KEY.encode(), len(ASKED), ASKED)
            )
            await first.until_asked()
            for _ in range(60):
                clock.advance(1.0)
                inside.sweeper.sweep(clock.monotonic())
                await turn()
            first.last.transport.write(sized(ANSWER, more=b"content-type: application/json\r\n"))
            async with asyncio.timeout(10.0):
                assert (await reader.readuntil(b"\r\n")) == b"HTTP/1.1 200 OK\r\n"
            await inside.until(lambda settled: len(settled) == 1)
            writer.close()
            (attempt,) = inside.settled[0].attempts
            assert (attempt.outcome, attempt.headers - attempt.sent, attempt.first_content) == ("answered", 60.0, 0.0)
            row = inside.health.row("first")
            assert (row.answered, row.ttft_s, row.tpot_s, row.in_flight) == (1, 0.0, 0.0, 0)
        assert second.peers == []
