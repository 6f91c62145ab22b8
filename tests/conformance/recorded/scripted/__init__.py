"""Answers in the form of each vendor, made by hand, and what each of them says."""

from collections.abc import Mapping

from tests.conformance.recorded.scripted import chat, cohere, converse, generate, messages, responses
from tests.conformance.recorded.scripted.script import Script

SCRIPTS: Mapping[str, Script] = {
    name: script
    for part in (chat, responses, messages, generate, converse, cohere)
    for name, script in part.SCRIPTS.items()
}
