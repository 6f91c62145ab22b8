from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.errors import RESIDENCY, Bug, Forbidden, GatewayError, NoRoute, UpstreamRefused
from gateway.exchange import Attempt, Exchange
from gateway.settings.shape import Pop
from gateway.telemetry.exposition import render
from gateway.telemetry.families import WORKER
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.slots import SlotWriter, Totals
from tests.doubles.prometheus import Labels, parse
from tests.doubles.settled import TARGET, settings, settled

WHO = (("backend", "vllm-fra-1"), ("model", "llama-3.1-8b"))
GEN_AI = (
    ("backend", "vllm-fra-1"),
    ("gen_ai_operation_name", "chat"),
    ("gen_ai_provider_name", "vllm"),
    ("gen_ai_request_model", "llama-3.1-8b"),
)


class Counted:
    """A worker's metrics, and the page a scraper would see of them."""

    def __init__(self, path: str) -> None:
        self.slots = SlotWriter(path)
        self.metrics = Metrics(self.slots)
        self.metrics.configure(settings())
        self.totals = Totals(WORKER)
        self.totals.watch(path)

    def page(self) -> dict[tuple[str, Labels], float]:
        return parse(render(WORKER, self.totals.samples()))

    def value(self, name: str, *labels: tuple[str, str]) -> float:
        return self.page()[name, tuple(sorted(labels))]

    def named(self, name: str) -> dict[Labels, float]:
        return {labels: value for (each, labels), value in self.page().items() if each == name}


@pytest.fixture
def counted(tmp_path: Path) -> Iterator[Counted]:
    counted = Counted(str(tmp_path / "slots"))
    yield counted
    counted.totals.close()
    counted.slots.close()


def test_a_request_is_counted_by_what_it_was_and_how_it_ended(counted: Counted) -> None:
    counted.metrics.settle(settled())
    counted.metrics.settle(settled(stream=False))
    ended = (("operation", "chat"), ("outcome", "answered"), ("status", "200"))
    assert counted.value("gateway_requests_total", *WHO, *ended) == 2.0


def test_overhead_is_what_was_neither_the_upstreams_nor_the_callers(counted: Counted) -> None:
    exchange = settled()
    counted.metrics.settle(exchange)
    assert exchange.own_s == pytest.approx(0.0002)
    assert counted.value("gateway_overhead_seconds_sum", ("operation", "chat")) == pytest.approx(exchange.own_s)
    assert counted.value("gateway_overhead_seconds_count", ("operation", "chat")) == 1.0


def test_a_stream_shows_its_backends_pace(counted: Counted) -> None:
    counted.metrics.settle(settled())
    first = counted.value("gen_ai_server_time_to_first_token_seconds_sum", *GEN_AI)
    each = counted.value("gen_ai_server_time_per_output_token_seconds_sum", *GEN_AI)
    assert first == pytest.approx(100.08 - 100.0002)
    assert each == pytest.approx((100.89 - 100.08) / 44)


def test_a_whole_answer_says_nothing_about_pace(counted: Counted) -> None:
    counted.metrics.settle(settled(stream=False))
    assert not counted.named("gen_ai_server_time_to_first_token_seconds_sum")
    assert not counted.named("gen_ai_server_time_per_output_token_seconds_sum")


def test_a_stream_that_broke_says_nothing_about_pace(counted: Counted) -> None:
    exchange = settled()
    exchange.error = UpstreamRefused("No.")
    counted.metrics.settle(exchange)
    assert not counted.named("gen_ai_server_time_to_first_token_seconds_sum")


def test_tokens_and_cost_are_summed(counted: Counted) -> None:
    for _ in range(3):
        counted.metrics.settle(settled())
    tokens = "gen_ai_client_token_usage_sum"
    assert counted.value(tokens, *GEN_AI, ("gen_ai_token_type", "input")) == 369.0
    assert counted.value(tokens, *GEN_AI, ("gen_ai_token_type", "output")) == 135.0
    assert counted.value("gateway_cost_usd_total", *WHO) == pytest.approx(0.000369)


def test_every_attempt_is_counted_with_its_ending(counted: Counted) -> None:
    exchange = settled()
    exchange.attempts.insert(0, Attempt(TARGET, 100.0, ended=100.0001, outcome="upstream_unreachable"))
    counted.metrics.settle(exchange)
    assert counted.named("gateway_attempts_total") == {
        (("backend", "vllm-fra-1"), ("outcome", "answered")): 1.0,
        (("backend", "vllm-fra-1"), ("outcome", "upstream_unreachable")): 1.0,
    }


def test_a_request_nobody_served_has_no_backend(counted: Counted) -> None:
    exchange = settled()
    exchange.target, exchange.usage, exchange.attempts, exchange.cost_usd = None, None, [], None
    exchange.error = NoRoute("No backend.")
    exchange.status = 503
    counted.metrics.settle(exchange)
    (labels,) = counted.named("gateway_requests_total")
    assert dict(labels) == {
        "backend": "",
        "model": "llama-3.1-8b",
        "operation": "chat",
        "outcome": "no_backend_available",
        "status": "503",
    }


def refused(error: GatewayError, jurisdictions: frozenset[str] | None, *attempts: Attempt) -> Exchange:
    """What was not served where it must stay."""
    exchange = settled()
    exchange.target, exchange.usage, exchange.cost_usd = None, None, None
    exchange.error, exchange.jurisdictions, exchange.attempts = error, jurisdictions, [*attempts]
    return exchange


def test_what_was_kept_inside_is_counted_by_what_stood_in_the_way(counted: Counted) -> None:
    here = Pop("fra", "https://fra.gw.example", "eu-central", "DE", (50.1, 8.7))
    told = replace(settings(), pops={"fra": here}, pop="fra")
    outside, planned = Forbidden("No.", code=RESIDENCY), Bug("No.", code=RESIDENCY)
    stopped = Attempt(TARGET, 100.0, ended=100.0, outcome=RESIDENCY)
    peer = Attempt(TARGET, 100.0, sent=100.1, ended=100.2, outcome=RESIDENCY)
    inside, elsewhere = frozenset({"DE"}), frozenset({"US"})
    found = []
    for now, exchange in (
        (told, refused(outside, inside)),
        (told, refused(outside, inside)),
        (told, refused(outside, elsewhere)),
        (told, refused(outside, None)),
        (settings(), refused(outside, inside)),
        (told, refused(planned, inside)),
        (told, refused(planned, inside, peer, stopped)),
        (told, refused(UpstreamRefused("No.", code=RESIDENCY), inside, peer)),
    ):
        before = counted.named("gateway_residency_refusals_total")
        counted.metrics.configure(now)
        counted.metrics.settle(exchange)
        after = counted.named("gateway_residency_refusals_total")
        found.append({dict(one)["what"]: after[one] - before.get(one, 0.0) for one in after if after[one]})
        found[-1] = {what: more for what, more in found[-1].items() if more}
    assert found == [
        {"backend": 1.0},
        {"backend": 1.0},
        {"pop": 1.0},
        {"pop": 1.0},
        {"pop": 1.0},
        {"connect": 1.0},
        {"connect": 1.0},
        {},
    ]


def test_what_was_withheld_is_there_before_any_request(counted: Counted) -> None:
    counted.metrics.spans_withheld.add(2.0)
    assert counted.named("gateway_residency_refusals_total") == {
        (("what", "access_log"),): 0.0,
        (("what", "otlp"),): 2.0,
    }


def test_losses_are_counted_by_field(counted: Counted) -> None:
    exchange = settled()
    exchange.changed = ("logit_bias", "seed")
    counted.metrics.settle(exchange)
    counted.metrics.settle(exchange)
    assert counted.named("gateway_losses_total") == {
        (("backend", "vllm-fra-1"), ("field", "logit_bias")): 2.0,
        (("backend", "vllm-fra-1"), ("field", "seed")): 2.0,
    }


def test_no_caller_can_make_series_with_invented_models(counted: Counted) -> None:
    counted.metrics.settle(settled())
    series = len(counted.page())
    for number in range(200):
        counted.metrics.settle(settled(model=f"invented-{number}"))
    models = {dict(labels)["model"] for labels in counted.named("gateway_requests_total")}
    assert models == {"llama-3.1-8b", "other"}
    assert len(counted.page()) < 3 * series
    assert len(counted.metrics._rows) == 1


def test_no_upstream_can_make_series_with_invented_codes_or_fields(counted: Counted) -> None:
    for number in range(500):
        exchange = settled()
        exchange.error = UpstreamRefused("No.", code=f"invented_{number}")
        exchange.changed = (f"field_{number}",)
        exchange.attempts[0].outcome = f"invented_{number}"
        counted.metrics.settle(exchange)
    assert len(counted.named("gateway_requests_total")) == 1
    assert len(counted.named("gateway_losses_total")) < 150
    assert len(counted.named("gateway_attempts_total")) < 150
    lost = counted.named("gateway_losses_total")
    assert sum(lost.values()) == 500.0
    assert lost[(("backend", "vllm-fra-1"), ("field", "other"))] > 300.0


def test_a_reload_brings_new_models_and_keeps_the_counts(counted: Counted) -> None:
    counted.metrics.settle(settled(model="gpt-4o"))
    counted.metrics.configure(settings("gpt-4o", "llama-3.1-8b"))
    counted.metrics.settle(settled(model="gpt-4o"))
    by_model = {dict(labels)["model"]: value for labels, value in counted.named("gateway_requests_total").items()}
    assert by_model == {"other": 1.0, "gpt-4o": 1.0}


def test_the_workers_own_numbers_are_there_before_any_request(counted: Counted) -> None:
    counted.metrics.loop_lag.observe(0.002)
    counted.metrics.state_up.set(1.0)
    counted.metrics.log_lines_dropped.add(3.0)
    assert counted.value("gateway_loop_lag_seconds_count") == 1.0
    assert counted.value("gateway_state_up") == 1.0
    assert counted.value("gateway_log_lines_dropped_total") == 3.0
