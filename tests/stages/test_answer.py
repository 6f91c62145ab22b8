from msgspec.structs import replace

from gateway.exchange import Attempt, Exchange
from gateway.settings.shape import Backend, May, Target
from gateway.stages.answer import fixed_lines, lines_of
from tests.doubles.inside import CALLER, PROVIDER
from tests.stages.kept import exchange

TARGET = Target(
    backend=Backend(name="vllm-fra-1", provider=PROVIDER, base_urls=("http://10.1.0.7",), region="eu-central"),
    model="meta/llama",
)
JSON = b"application/json"


def lines(told: Exchange, content_type: bytes = JSON, fixed: bytes = b"", now: float = 100.5) -> dict[str, str]:
    text = lines_of(told, content_type, fixed, now).decode()
    assert text.endswith("\r\n")
    pairs = [line.partition(": ") for line in text.removesuffix("\r\n").split("\r\n")]
    said = {name: value for name, _, value in pairs}
    assert len(said) == len(pairs)
    return said


def answered() -> Exchange:
    told = exchange()
    told.target = TARGET
    told.attempts.append(Attempt(TARGET, started=100.001, sent=100.002, headers=100.402))
    return told


def test_what_all_answers_of_a_backend_say() -> None:
    assert fixed_lines(TARGET, "fra") == (
        b"cache-control: no-store\r\nx-gateway-pop: fra\r\nx-gateway-region: eu-central\r\n"
    )


def test_a_place_that_is_not_known_is_not_named() -> None:
    nowhere = replace(TARGET, backend=replace(TARGET.backend, region=""))
    assert fixed_lines(nowhere, "") == b"cache-control: no-store\r\n"


def test_an_answer_says_its_model_its_attempts_and_where_the_time_went() -> None:
    told = answered()
    told.call.caller = replace(CALLER, may=May())
    assert lines(told, fixed=fixed_lines(TARGET, "fra")) == {
        "content-type": "application/json",
        "cache-control": "no-store",
        "x-gateway-pop": "fra",
        "x-gateway-region": "eu-central",
        "x-gateway-model": "story",
        "x-gateway-attempts": "1",
        "server-timing": "gateway;dur=100.00, upstream;dur=400",
    }


def test_only_a_key_that_may_see_the_plan_is_told_the_backend() -> None:
    told = answered()
    assert lines(told)["x-gateway-backend"] == "vllm-fra-1"
    told.call.caller = None
    assert "x-gateway-backend" not in lines(told)


def test_what_was_lost_is_said() -> None:
    told = answered()
    told.changed = ("user", "temperature")
    assert lines(told)["x-gateway-dropped"] == "user, temperature"


def test_a_type_that_is_no_clean_text_does_not_cross() -> None:
    for strange in (b"text/\xff", b"text/plain\r\nx-evil: 1", b"a\x00b"):
        assert lines(answered(), strange)["content-type"] == "application/json"


def test_a_name_beyond_ascii_becomes_ascii() -> None:
    told = answered()
    told.model = "modèle-日本"
    told.changed = ("größe",)
    assert lines(told)["x-gateway-model"] == "mod?le-??"
    assert lines(told)["x-gateway-dropped"] == "gr??e"


def test_our_own_time_is_never_below_nothing() -> None:
    assert lines(answered(), now=100.1)["server-timing"].startswith("gateway;dur=0.00, ")
