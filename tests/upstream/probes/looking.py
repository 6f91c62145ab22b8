"""A look at a server that answers what a test says."""

from collections.abc import Mapping

from gateway.upstream.probes.reading import Answer, Ask, Reader, Reading

Told = bytes | str | int


def look(reader: Reader, answers: Mapping[str, Told], now: float = 100.0) -> Reading:
    """One reading; a path is answered with a body (200) or a status, and what isn't named is 404."""
    return asked(reader, answers, now)[0]


def asked(reader: Reader, answers: Mapping[str, Told], now: float = 100.0) -> tuple[Reading, list[Ask]]:
    """The same, and what was asked for."""
    looking = reader.look(now)
    asks: list[Ask] = []
    ask = next(looking)
    while True:
        asks.append(ask)
        where = f":{ask.port}{ask.path}" if ask.port else ask.path
        try:
            ask = looking.send(answer(answers.get(where, 404)))
        except StopIteration as end:
            reading: Reading = end.value
            return reading, asks


def named(*names: str) -> frozenset[str]:
    return frozenset(names)


def answer(told: Told) -> Answer:
    if isinstance(told, int):
        return Answer(told, b"")
    return Answer(200, told.encode() if isinstance(told, str) else told)


LOADING = Answer(503, b'{"error":{"message":"Loading model","type":"unavailable_error","code":503}}')


def while_loading(reader: Reader) -> Reading:
    """What is read of a server that says it loads, whatever it is asked."""
    looking = reader.look(100.0)
    next(looking)
    try:
        looking.send(LOADING)
    except StopIteration as end:
        reading: Reading = end.value
        return reading
    raise AssertionError("it asks on")
