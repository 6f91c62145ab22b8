import re

from gateway.mock.ledger import Entry
from gateway.mock.metrics import Histogram, Meters
from gateway.mock.options import MockOptions
from gateway.mock.slots import Slots

SAMPLE = re.compile(r'(vllm:[a-z0-9_]+)(\{(?:[a-z_]+="(?:[^"\\]|\\.)*",?)*\})? ([0-9.e+-]+)')


class Worker:
    def __init__(self, sequence: int, model: str = "m", prompt_tokens: int = 0, tokens_sent: int = 0) -> None:
        self.entry = Entry(sequence, "/", 0.0, model, prompt_tokens=prompt_tokens, tokens_sent=tokens_sent)

    def begin(self) -> None:
        """Nothing to begin."""


def samples(meters: Meters, slots: Slots, wall: float = 1.0) -> dict[str, float]:
    """Every sample of the page by name and labels; every line is one, or a comment."""
    found = {}
    for line in meters.page(slots, wall).decode().splitlines():
        if line.startswith("# "):
            continue
        match = SAMPLE.fullmatch(line)
        assert match is not None, line
        found[f"{match[1]}{match[2]}"] = float(match[3])
    return found


def test_running_and_waiting_requests_are_gauges_of_the_served_model() -> None:
    slots = Slots(1)
    for sequence in (1, 2, 3):
        slots.enter(Worker(sequence))
    page = samples(Meters(MockOptions(models=("m", "alias"))), slots)
    assert page['vllm:num_requests_running{engine="0",model_name="m"}'] == 1
    assert page['vllm:num_requests_waiting{engine="0",model_name="m"}'] == 2


def test_the_kv_gauge_counts_blocks_of_prompts_and_answers_under_both_names() -> None:
    slots = Slots(4)
    slots.enter(Worker(1, prompt_tokens=17, tokens_sent=15))
    slots.enter(Worker(2, prompt_tokens=1))
    page = samples(Meters(MockOptions(kv_blocks=10)), slots)
    assert page['vllm:kv_cache_usage_perc{engine="0",model_name="mock-model"}'] == 0.3
    assert page['vllm:gpu_cache_usage_perc{engine="0",model_name="mock-model"}'] == 0.3
    assert page['vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="10"}'] == 1


def test_the_kv_cache_is_never_more_than_full() -> None:
    slots = Slots(1)
    slots.enter(Worker(1, prompt_tokens=1000))
    assert Meters(MockOptions(kv_blocks=1)).kv_usage(slots) == 1.0


def test_adapters_in_use_are_labels_and_the_newest_stamp_is_theirs() -> None:
    slots, meters = Slots(1), Meters(MockOptions(models=("m",), loras=("red", "blue"), max_loras=2))
    slots.enter(Worker(1, "red"))
    slots.enter(Worker(2, "blue"))
    slots.enter(Worker(3, "blue"))
    meters.note_adapters(slots, 5.0)
    slots.leave(Worker(1))
    page = samples(meters, slots, wall=7.0)
    label = 'vllm:lora_requests_info{{max_lora="2",running_lora_adapters="{}",waiting_lora_adapters="{}"}}'
    assert page[label.format("red", "blue")] == 5.0
    assert page[label.format("blue", "blue")] == 7.0


def test_old_adapter_stamps_do_not_pile_up() -> None:
    loras = tuple(f"a{number}" for number in range(100))
    meters = Meters(MockOptions(loras=loras))
    for number, name in enumerate(loras):
        slots = Slots(1)
        slots.enter(Worker(1, name))
        meters.note_adapters(slots, float(number))
    page = samples(meters, Slots(1), wall=200.0)
    assert sum(name.startswith("vllm:lora_requests_info") for name in page) == 64


def test_a_server_without_adapters_has_no_series_for_them() -> None:
    assert not any("lora" in name for name in samples(Meters(MockOptions()), Slots(1)))


def test_a_histogram_is_cumulative_and_its_bounds_are_inside() -> None:
    histogram = Histogram((0.1, 1.0))
    for value in (0.1, 0.5, 3.0):
        histogram.observe(value)
    assert list(histogram.lines("h", 'a="b"')) == [
        'h_bucket{a="b",le="0.1"} 1.0',
        'h_bucket{a="b",le="1.0"} 2.0',
        'h_bucket{a="b",le="+Inf"} 3.0',
        'h_sum{a="b"} 3.6',
        'h_count{a="b"} 3.0',
    ]


def test_histograms_counters_and_reasons_have_vllms_names() -> None:
    meters = Meters(MockOptions())
    meters.ttft.observe(0.03)
    meters.inter_token.observe(0.02)
    meters.success["length"] += 1
    meters.prompt_tokens, meters.generation_tokens = 5, 9
    page = samples(meters, Slots(1))
    labels = 'engine="0",model_name="mock-model"'
    assert page[f'vllm:time_to_first_token_seconds_bucket{{{labels},le="0.02"}}'] == 0
    assert page[f'vllm:time_to_first_token_seconds_bucket{{{labels},le="0.04"}}'] == 1
    assert page[f"vllm:inter_token_latency_seconds_count{{{labels}}}"] == 1
    assert page[f"vllm:time_per_output_token_seconds_sum{{{labels}}}"] == 0.02
    assert page[f'vllm:request_success_total{{{labels},finished_reason="length"}}'] == 1
    assert page[f"vllm:prompt_tokens_total{{{labels}}}"] == 5
    assert page[f"vllm:generation_tokens_total{{{labels}}}"] == 9


def test_a_models_name_is_escaped() -> None:
    page = Meters(MockOptions(models=('a"b\\c\n',))).page(Slots(1), 1.0).decode()
    assert 'model_name="a\\"b\\\\c\\n"' in page


def test_every_family_is_declared_once_before_its_samples() -> None:
    lines = Meters(MockOptions(loras=("a",))).page(Slots(1), 1.0).decode().splitlines()
    declared = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(declared) == len(set(declared))
    for line in lines:
        if not line.startswith("#"):
            name = line.partition("{")[0]
            assert name in declared or re.sub("_(bucket|sum|count)$", "", name) in declared
