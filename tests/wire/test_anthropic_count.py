from gateway.wire import load


def test_the_path_is_anthropics() -> None:
    assert load("anthropic_count").paths == {"/v1/messages/count_tokens": "count_tokens"}
    assert load("anthropic_count").passes == load("anthropic_messages").passes
