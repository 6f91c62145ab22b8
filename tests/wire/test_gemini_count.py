from gateway.wire import load


def test_the_model_stands_in_the_path() -> None:
    patterns = load("gemini_count").patterns
    assert {pattern.before for pattern in patterns} == {"/v1beta/models/", "/v1/models/"}
    assert {(pattern.after, pattern.operation, pattern.stream) for pattern in patterns} == {
        (":countTokens", "gemini_count", False)
    }
