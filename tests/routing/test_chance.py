from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.chance import digest, mixed, stream, unit
from tests.routing.places import bits, draws


def test_mixing_is_splitmix64s() -> None:
    """The first numbers of the reference (prng.di.unimi.it/splitmix64.c) seeded with 0: its state goes up by golden."""
    golden = 0x9E3779B97F4A7C15
    numbers = [mixed(golden * step & (1 << 64) - 1) for step in range(3)]
    assert numbers == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


@given(bits, bits)
def test_different_numbers_mix_to_different_numbers_of_64_bits(one: int, other: int) -> None:
    assert 0 <= mixed(one) < 1 << 64
    assert (mixed(one) == mixed(other)) == (one == other)


@given(bits)
def test_a_unit_is_from_zero_up_to_but_not_including_one(number: int) -> None:
    assert 0.0 <= unit(number) < 1.0


def test_the_ends_of_the_unit_are_the_ends_of_the_bits() -> None:
    assert unit(0) == 0.0
    assert unit((1 << 64) - 1) == 1.0 - 2.0**-53


def test_each_purpose_has_a_stream_of_its_own_that_is_spread_evenly() -> None:
    ones = [unit(stream(draw, "canary")) for draw in draws(10_000)]
    others = [unit(stream(draw, "jitter")) for draw in draws(10_000)]
    assert 0.48 < sum(ones) / 10_000 < 0.52
    # Both small: as often as if they knew nothing of one another.
    both = sum(one < 0.5 and other < 0.5 for one, other in zip(ones, others, strict=True))
    assert 2300 < both < 2700


def test_a_purpose_takes_the_same_from_the_same_draw() -> None:
    assert stream(7, "canary") == stream(7, "canary") != stream(7, "jitter")


@given(st.text())
def test_a_digest_is_64_bits_of_any_text(text: str) -> None:
    assert 0 <= digest(text) < 1 << 64
    assert digest(text) == digest(text)


def test_a_digest_takes_even_half_a_surrogate_pair() -> None:
    assert digest("\ud800") != digest("\udfff")


def test_all_64_bits_of_a_digest_count() -> None:
    """Among 200,000 texts of one length, 32 bits would meet about five times (a birthday's square over 2^33)."""
    assert len({digest(f"session-{number:06}") for number in range(200_000)}) == 200_000


def test_a_digest_is_the_same_in_every_process() -> None:
    assert digest("fra-1") == 0x835433035D6A1307
