"""A conversation as one text, for backends that continue a text and know nothing of turns.

A model is trained on its own template, which such a backend doesn't tell, so this is a change of meaning and a Loss
(`messages=mapped`). The plain form has a heading before each turn, an empty line between them, and ends in the heading
of who speaks next, or in the words of an assistant that is to go on:

    System: Be brief.

    User: Hello

    Assistant:
"""

from collections.abc import Mapping
from typing import Final

from gateway.wire.ir import Ask, Block, Foreign, Media, Refusal, Role, Text, Thinking, Turn
from gateway.wire.losses import Losses

_HEADINGS: Final[Mapping[Role, str]] = {"system": "System", "user": "User", "assistant": "Assistant"}
_KINDS: Final[Mapping[str, str]] = {"image": "images", "document": "documents", "audio": "audio", "video": "video"}
_BREAK: Final = "\n\n"


def write_prompt(ask: Ask, losses: Losses) -> str:
    """The text. UnsupportedFeature for tools, and for what a user asks about that is no text."""
    losses.mapped("messages")
    last = max((at for at, turn in enumerate(ask.messages) if turn.role == "user"), default=-1)
    said = [_turn(turn, losses, last=at == last) for at, turn in enumerate(ask.messages)]
    if ask.system:
        said.insert(0, _turn(Turn("system", [*ask.system]), losses, last=False))
    if not ask.messages or ask.messages[-1].role != "assistant":
        said.append("Assistant:")
    return _BREAK.join(said)


def lose_what_a_prompt_cannot_say(ask: Ask, losses: Losses) -> None:
    """What neither the text nor any field beside it carries. UnsupportedFeature for several answers, and for tools."""
    if ask.n > 1:
        losses.refused("n")
    if ask.tools and (ask.choice is None or ask.choice.mode != "none"):
        losses.refused("tools")
    for name, said in (
        ("tools", ask.tools),
        ("user", ask.user),
        ("metadata", ask.metadata),
        ("service_tier", ask.service_tier),
        ("cache_key", ask.cache_key),
        ("cache", ask.cache),
        ("thinking", ask.thinking is not None and ask.thinking.level != "none"),
    ):
        if said:
            losses.dropped(name)
    for name in ask.other:
        losses.dropped(name)


def _turn(turn: Turn, losses: Losses, *, last: bool) -> str:
    if turn.name:
        losses.dropped("name")
    pieces = [piece for block in turn.content if (piece := _piece(block, losses, last=last))]
    return f"{_HEADINGS[turn.role]}: {_BREAK.join(pieces)}"


def _piece(block: Block, losses: Losses, *, last: bool) -> str:
    """What a block says in words; "" where it can't. `last`: it stands in what is asked."""
    if isinstance(block, Text):
        _mark(block.cache is not None, losses)
        if block.citations:
            losses.dropped("citations")
        return block.text
    if isinstance(block, Refusal):
        losses.mapped("refusal")
        return block.text
    if isinstance(block, Thinking):
        losses.dropped("thinking.blocks")
    elif isinstance(block, Media):
        _mark(block.cache is not None, losses)
        return _media(block, losses, last=last)
    elif isinstance(block, Foreign):
        losses.dropped(block.kind)
    else:
        losses.refused("tools")  # a call or its result: without tools they mean nothing
    return ""


def _media(media: Media, losses: Losses, *, last: bool) -> str:
    if media.text:
        losses.mapped("documents")
        if media.cites:
            losses.dropped("documents.citations")
        return "\n".join(filter(None, (media.title or media.name, media.context, media.text)))
    word = "files" if media.file else _KINDS[media.kind]
    if last:
        losses.refused(word)
    losses.dropped(word)
    return ""


def _mark(marked: bool, losses: Losses) -> None:
    if marked:
        losses.dropped("cache")
