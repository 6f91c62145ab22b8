"""The inner form of a conversation: what at least two languages can say, as typed blocks (decision 0008).

It stands between two different languages only; where both sides speak the same one, nothing is taken apart. What one
language alone can say is Foreign: it goes back to its origin as it was, and is a loss elsewhere.
"""

from typing import Final, Literal

from msgspec import Raw, Struct

from gateway.features import Usage

# Why an answer ended. `stop` is the model's own end, `sequence` one of the caller's stop sequences, `filter` a
# provider's filter, `refusal` the model's own no, `pause` a turn that wants to go on, `context` a full window,
# `malformed` a tool call that the provider could not read.
Finish = Literal["stop", "sequence", "length", "tools", "filter", "refusal", "pause", "context", "malformed", "other"]
Role = Literal["user", "assistant", "system"]
MediaKind = Literal["image", "document", "audio", "video"]
ChoiceMode = Literal["auto", "none", "required", "tool"]


class Cache(Struct, frozen=True):
    """A mark up to which a provider may keep the prompt; `ttl` is as written ("5m", "1h"), "" where nothing is said."""

    ttl: str = ""


class Citation(Struct, frozen=True):
    """Where a piece of text has its words from. `raw` is its origin's own form, `origin` the language that said it.

    `start` and `end` count characters of the text block it belongs to; -1 where nothing is said.
    """

    origin: str
    raw: Raw
    url: str = ""
    title: str = ""
    quote: str = ""
    start: int = -1
    end: int = -1


class Text(Struct):
    text: str
    cache: Cache | None = None
    citations: list[Citation] = []


class Media(Struct):
    """An image, a document, sound or film: one of `data` (base64), `url`, `file` (a stored id) and `text` is set.

    `detail` is OpenAI's word for an image's resolution; `title`, `context` and `cites` are Anthropic's for documents.
    """

    kind: MediaKind
    media_type: str = ""
    data: str = ""
    url: str = ""
    file: str = ""
    text: str = ""
    name: str = ""
    detail: str = ""
    title: str = ""
    context: str = ""
    cites: bool = False
    cache: Cache | None = None


class ToolCall(Struct):
    """`arguments` is the JSON text as the model wrote it, never parsed and written again.

    `signature` belongs to it where its origin signs calls; see Thinking for who gets it back.
    """

    id: str
    name: str
    arguments: str = ""
    signature: str = ""
    origin: str = ""
    cache: Cache | None = None


class ToolResult(Struct):
    call_id: str
    content: "list[Block]"
    name: str = ""
    is_error: bool = False
    cache: Cache | None = None


class Thinking(Struct):
    """What a model thought. `signature` proves its words, `redacted` holds what only its origin can read.

    Both go back to `origin` (the language that signed) alone; its `id` likewise. `summary` where the words are one.
    """

    text: str = ""
    signature: str = ""
    redacted: str = ""
    origin: str = ""
    id: str = ""
    summary: bool = False


class Refusal(Struct):
    """A model's no, where its language keeps it apart from text."""

    text: str


class Foreign(Struct):
    """Something only `origin` can say: a block, a tool, an event. `kind` is its own name for it."""

    origin: str
    kind: str
    raw: Raw


Block = Text | Media | ToolCall | ToolResult | Thinking | Refusal | Foreign


class Turn(Struct):
    """Blocks of one speaker. `system` turns stand amid a conversation; those at its head are `Ask.system`."""

    role: Role
    content: list[Block]
    name: str = ""


class Tool(Struct):
    """A function of the caller's; `schema` is the JSON text of its parameters' schema, None where it takes none."""

    name: str
    description: str = ""
    schema: Raw | None = None
    strict: bool | None = None
    cache: Cache | None = None


class ToolChoice(Struct):
    """Whether tools are to be called. `names` narrows to some of them; `parallel` None: nothing is said."""

    mode: ChoiceMode = "auto"
    names: tuple[str, ...] = ()
    parallel: bool | None = None


class Format(Struct):
    """The form of the answer: any JSON, or JSON after a schema."""

    schema: Raw | None = None
    name: str = ""
    description: str = ""
    strict: bool | None = None


class Effort(Struct):
    """How much thinking is asked for, in words (none, minimal, low, medium, high, xhigh, max) or tokens.

    `shown` says whether the thoughts, or a summary of them, are wanted in the answer; None: nothing is said.
    """

    level: str = ""
    tokens: int | None = None
    shown: bool | None = None


class Ask(Struct):
    """A request.

    `sampling` holds numbers as they were written, by the name most languages have for them: temperature, top_p, top_k,
    min_p, seed, frequency_penalty, presence_penalty, repetition_penalty. `logprobs` is the number of alternatives asked
    for beside each token's own, None where none are wanted. `other` holds what else `origin` said, `query` what
    the address did.
    """

    origin: str
    model: str
    messages: list[Turn]
    system: list[Text] = []
    stream: bool = False
    tools: list[Tool | Foreign] = []
    choice: ToolChoice | None = None
    max_tokens: int | None = None
    stop: list[str] = []
    sampling: dict[str, Raw] = {}
    thinking: Effort | None = None
    format: Format | None = None
    logprobs: int | None = None
    n: int = 1
    user: str = ""
    metadata: dict[str, str] = {}
    service_tier: str = ""
    cache_key: str = ""
    cache: Cache | None = None
    wants_usage: bool = False
    other: dict[str, Raw] = {}
    query: str = ""


class Answer(Struct):
    """A whole answer. `created` is in seconds since 1970, 0 where it isn't told.

    `logprobs` is a JSON array of tokens in OpenAI's form (token, logprob, bytes, top_logprobs).
    """

    content: list[Block]
    finish: Finish = "stop"
    sequence: str = ""
    id: str = ""
    model: str = ""
    created: int = 0
    usage: Usage | None = None
    logprobs: Raw | None = None
    service_tier: str = ""


# --- a streamed answer ------------------------------------------------------------------------------------------------


class Started(Struct, gc=False):
    """The first event of every stream."""

    id: str = ""
    model: str = ""
    created: int = 0


class BlockOpened(Struct, gc=False):
    """A block begins; `at` counts blocks from 0. Its fields may already hold a beginning, or all of it."""

    at: int
    block: Block


class BlockGrew(Struct, gc=False):
    """More of the block `at`: of its text, thought, refusal or arguments; a signature; a citation; tokens' logprobs."""

    at: int
    text: str = ""
    signature: str = ""
    citation: Citation | None = None
    logprobs: Raw | None = None


class BlockClosed(Struct, gc=False):
    at: int


class Finished(Struct, gc=False):
    """The last event of every stream that came to its end: only then is the answer whole."""

    finish: Finish
    sequence: str = ""
    usage: Usage | None = None
    service_tier: str = ""


Event = Started | BlockOpened | BlockGrew | BlockClosed | Finished

NO_ARGUMENTS: Final = "{}"
