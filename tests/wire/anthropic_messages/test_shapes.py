from typing import get_args

from gateway.wire.anthropic_messages import shapes


def test_every_known_block_and_source_has_its_reader() -> None:
    assert {decoder.type for decoder, _ in shapes.BLOCKS.values()} == set(get_args(shapes.Block))
    assert {decoder.type for decoder in shapes.SOURCES.values()} == set(get_args(shapes.Source))


def test_a_block_is_told_by_its_type() -> None:
    assert shapes.read_block(b'{"type":"text","text":"Hi"}') == shapes.Text("Hi")
    assert shapes.read_block(b'{"data":"x","type":"redacted_thinking"}') == shapes.Redacted("x")
