"""Whether a request is simple enough for a small model, from what can be read of it cheaply.

Some signs settle it: tools, images, a schema, thinking, a conversation, length, code. Otherwise what is found in the
text adds points, and with more than `POINTS_MOST` it is complex: three points are enough alone, two with anything else.
A wrong small answer costs more than a large one, so doubt is complex. Text in no language known here is judged by its
length and form alone, more strictly. docs/complexity.md says what is meant by simple, and how often this is wrong.
"""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Final, Literal

from msgspec import Struct

Class = Literal["simple", "complex"]

TEXT_MOST: Final = 4096  # characters of the text that a caller need hand over
BYTES_MOST: Final = 8192  # of a request that can be simple
SYSTEM_MOST: Final = 1000  # characters; with more instructions it is an application that asks
TOKENS_MOST: Final = 4096  # of an answer; who allows more expects a long one

POINTS_MOST: Final = 2
_ENOUGH: Final = 3
_NEARLY: Final = 2
_LONG_WORD: Final = 9  # letters; each such word is a point
_WORDS_FREE: Final = 9
_WORDS_EACH: Final = 3  # after those, so many words are a point
_WORDS_MOST: Final = _WORDS_FREE + _WORDS_EACH * POINTS_MOST
_CHARS_MOST: Final = 160  # fifteen words of the usual length are far fewer

# Of a question in a language that isn't known here.
_OTHER_WORDS_MOST: Final = 6


class Signs(Struct, frozen=True):
    """What is read of a request. `text` is the last thing its user says, `turns` how often he spoke.

    `max_tokens` is 0 where nothing is said of it.
    """

    text: str
    turns: int = 1
    bytes_in: int = 0
    system_chars: int = 0
    max_tokens: int = 0
    has_tools: bool = False
    has_images: bool = False
    has_schema: bool = False
    asks_thinking: bool = False


class Verdict(Struct, frozen=True):
    """The class of a request and what decided it. `points` are those of its text, 0 where nothing was counted."""

    name: Class
    why: str
    points: int = 0


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


def _table(rows: Mapping[str, tuple[int, str]]) -> dict[str, tuple[int, str]]:
    return {word: (points, why) for why, (points, words) in rows.items() for word in words.split()}


# What a word says of a request, after the guideline in docs/complexity.md. A reason counts once, however often met.
_SAYS: Final = _table(
    {
        "something to compose": (
            _ENOUGH,
            """article blog campaign advertisement caption chapter compose create description dialogue draft email
            essay generate haiku headings invent joke jokes letter lyrics narrate novel outline paraphrase plot poem
            post presentation produce prompt prompts proofread rap report resume review reword rewrite riddle riddles
            seo slides slogan song speech stories story summarise summarize summary tale translate write""",
        ),
        "a part to play": (
            _ENOUGH,
            "act character debate game imagine persona play pretend quiz roleplay simulate style test tone",
        ),
        "code": (
            _ENOUGH,
            """algorithm api app application bash class code compile compiler configure database debug deploy extension
            framework function haskell implement install java javascript json library php plugin program python
            refactor regex rust schema script server software sql typescript website xml yaml""",
        ),
        "reasoning": (
            _ENOUGH,
            """advantage advantages affect analyse analysis analyze argue argument assess better calculate challenges
            compare comparison compute concept concepts cons consequences contrast derive design diagnose differ
            difference differences different differentiate difficult disadvantages discuss effect effects estimate
            ethical ethics evaluate factors ideas impact impacts implications influence justify moral morality optimal
            plan planning predict principles problems pros proof prove puzzle reason reasons recommend recommendation
            recommendations relate relates relation relationship role should similarities solve strategies strategy
            suggest tactics theory versus vs""",
        ),
        "a world that isn't": (_ENOUGH, "assume assuming hypothetical if might suppose wonder would"),
        "the latest or exact figures": (
            _ENOUGH,
            """centuries century cost costs current currently fastest future highest largest latest market modern most
            news now percentage popular price prices rate recent recently sales smallest statistics today tomorrow top
            trend trends weather year years""",
        ),
        "harm": (
            _ENOUGH,
            """abuse anxiety bitcoin bomb court crime cryptocurrency cure danger dangerous dangers dead death depressed
            depression die died disease doctor doctors dose drug drugs emergency grief gun hack hacking hospital
            illegal insurance invest investing investment kill law laws lawyer legal loan medication medicine mortgage
            pain poison poisonous police rights sad safety steal suicide symptom symptoms tax taxes toxic treatment
            weapon weapons wound""",
        ),
        "steps in detail": (
            _NEARLY,
            "build describe detail detailed details develop elaborate explain guide step teach",
        ),
        "several things": (_NEARLY, "also another both each every examples including list other various"),
        "somebody": (_NEARLY, "who who's whom whose"),
    }
)
_MEASURES: Final = _set("many much")  # after "how"
# Names that stand in every school book, and what is short for something everybody knows.
_KNOWN: Final = _set("""
    I AI CSS DNA EU HTML OK PC PDF TV UK US USA Africa African America American Antarctica Arabic Asia Asian Australia
    Britain British Canada China Chinese Christmas Earth Easter Egypt England English Europe European France French
    German Germany God Greece Greek India Indian Internet Italian Italy Japan Japanese Jesus Korea Korean Latin London
    Mars Mexico Moon Paris Portuguese Roman Rome Russia Russian Spain Spanish Sun Turkish
""")

# What other languages in Latin letters hardly have: one that opens a text tells English, or two, and a fifth of all.
_ENGLISH_OPENINGS: Final = _set("could did does how how's please tell what what's when where who why")
_ENGLISH: Final = _ENGLISH_OPENINGS | _set("""
    about and are can don't from have i i'm is it it's my of that the there this to which with you your
""")
_OPENINGS: Final = _ENGLISH_OPENINGS | _set("are can do is")
_GREETINGS: Final = _set("""
    hello hey hi thanks bye goodbye hallo danke bonjour salut merci hola gracias ciao grazie olá obrigado merhaba привет
    здравствуйте спасибо привіт 你好 您好 谢谢 こんにちは ありがとう 안녕하세요 مرحبا شكرا नमस्ते สวัสดี
""")

_QUOTE_MARKS: Final = '"\u201c\u201d\u201e\u00ab\u00bb'
_QUOTES: Final = frozenset(_QUOTE_MARKS)
_AROUND: Final = _QUOTE_MARKS + "'\u2018()*.,:;!?\u2026\u3002\uff01\uff1f\u061f\u00bf\u00a1"  # before or after a word
_ENDS: Final = (".", "!", "?")
_ASKS: Final = ("?", "\uff1f", "\u061f")  # Latin, Chinese, Arabic
_IN_CODE: Final = frozenset("`{}\\<>=|[]")  # and hardly ever in a sentence
_CALL: Final = re.compile(r"\w\(")
_FIGURE: Final = re.compile(r"\d")
# A full stop and more after it: with a space in most scripts (danda in Devanagari), without in Chinese and Japanese.
_STOP: Final = re.compile(r"[.!?\u061f\u0964]\s|[\u3002\uff01\uff1f].|\n")
# Scripts without spaces between words, Thai to Khmer, Chinese and Japanese: two characters are about a word.
_SPACELESS: Final = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff]")

_TOOLS: Final = Verdict("complex", "tools")
_IMAGES: Final = Verdict("complex", "images")
_SCHEMA: Final = Verdict("complex", "a schema")
_THINKING: Final = Verdict("complex", "thinking")
_CONVERSATION: Final = Verdict("complex", "a conversation")
_INSTRUCTIONS: Final = Verdict("complex", "long instructions")
_LONG: Final = Verdict("complex", "long")
_LONG_ANSWER: Final = Verdict("complex", "a long answer")
_NOTHING: Final = Verdict("complex", "no words")
_CODE: Final = Verdict("complex", "code")
_GREETING: Final = Verdict("simple", "a greeting")


def complexity(signs: Signs) -> Verdict:
    """The class of a request, and why."""
    settled = _settled(signs)
    if settled is not None:
        return settled
    if len(signs.text) > _CHARS_MOST:
        return _LONG
    text = signs.text.strip().replace("\u2019", "'").replace(" ?", "?").replace(" !", "!")
    tokens = text.split()
    if len(tokens) > _WORDS_MOST:
        return _LONG
    if not _IN_CODE.isdisjoint(text) or ("(" in text and _CALL.search(text)):
        return _CODE
    words = [token.strip(_AROUND) for token in tokens]
    lower = [word.lower() for word in words]
    if not any(lower):
        return _NOTHING
    if len(lower) == 1 and lower[0] in _GREETINGS:
        return _GREETING
    if lower[0] in _ENGLISH_OPENINGS or _is_english(lower):
        return _english(text, tokens, words, lower)
    return _other(text, words)


def _settled(signs: Signs) -> Verdict | None:
    """What needs no look at the text."""
    if signs.has_tools:
        return _TOOLS
    if signs.has_images:
        return _IMAGES
    if signs.has_schema:
        return _SCHEMA
    if signs.asks_thinking:
        return _THINKING
    if signs.turns > 1:
        return _CONVERSATION
    if signs.bytes_in > BYTES_MOST:
        return _LONG
    if signs.system_chars > SYSTEM_MOST:
        return _INSTRUCTIONS
    return _LONG_ANSWER if signs.max_tokens > TOKENS_MOST else None


def _is_english(lower: list[str]) -> bool:
    known = sum(word in _ENGLISH for word in lower)
    return known >= 2 and 5 * known >= len(lower)


def _english(text: str, tokens: list[str], words: list[str], lower: list[str]) -> Verdict:
    found: dict[str, int] = {}
    for word in lower:
        said = _SAYS.get(word)
        if said is not None:
            found[said[1]] = said[0]
        elif len(word) >= _LONG_WORD:
            found["long words"] = found.get("long words", 0) + 1
    names, sentences = _names_and_sentences(tokens, words, lower)
    if names:
        found["names"] = _ENOUGH
    if sentences > 1:
        found["several sentences"] = _NEARLY * (sentences - 1)
    if lower[0] == "how" and lower[1:] and lower[1] in _MEASURES:
        found["the latest or exact figures"] = _ENOUGH
    if lower[0] not in _OPENINGS:
        found["not a plain question"] = _NEARLY
    if _FIGURE.search(text):
        found["figures"] = _NEARLY
    if not _QUOTES.isdisjoint(text):
        found["a quotation"] = _NEARLY
    found["length"] = max(0, -((_WORDS_FREE - len(lower)) // _WORDS_EACH))
    points = sum(found.values())
    if points > POINTS_MOST:
        return Verdict("complex", max(found, key=found.__getitem__), points)
    return Verdict("simple", "a short question" if text.endswith(_ASKS) else "a small request", points)


def _names_and_sentences(tokens: list[str], words: list[str], lower: list[str]) -> tuple[bool, int]:
    """Whether something is named that not everybody knows, by a capital within a sentence or a word; the sentences."""
    names = False
    sentences = 0
    opens = True
    for token, word, low in zip(tokens, words, lower, strict=True):
        if opens:
            sentences += 1
        if word != low and word[1:2].isalpha() and word not in _KNOWN and (not opens or word[1:] != low[1:]):
            names = True
        opens = token.endswith(_ENDS)
    return names, sentences


def _other(text: str, words: list[str]) -> Verdict:
    """Judges a text whose words aren't known here: one short question is simple, and nothing else."""
    length = (len(text) + 1) // 2 if _SPACELESS.search(text) else len(words)
    if not text.endswith(_ASKS):
        why = "not a plain question"
    elif length > _OTHER_WORDS_MOST:
        why = "length"
    elif _STOP.search(text):
        why = "several sentences"
    elif _FIGURE.search(text):
        why = "figures"
    elif any(one[:1].isupper() and other[:1].isupper() for one, other in pairwise(words[1:])):
        why = "names"
    else:
        return Verdict("simple", "a short question")
    return Verdict("complex", why)
