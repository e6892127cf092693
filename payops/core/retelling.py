"""Sentences the program wrote down while nobody was reading, told again in the language of whoever reads now.

A worker that withholds a channel day, rejects a bill or closes a case writes its reason in the language it runs in, and
what is written down is evidence and stays as it is. Pages show it through `retold`: the sentence is recognised as one
of the catalogue's, in whichever language it was written, and said again with the same values. What is no sentence of
ours, such as a person's note or a bank's answer, comes back unchanged.
"""

from __future__ import annotations

import gettext
import re
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Final, NamedTuple

from django.conf import settings
from django.utils.translation import get_language

PLACEHOLDER: Final = re.compile(r"%(?:\((?P<name>\w+)\))?(?P<kind>[sd])|%(?P<percent>%)")
CHINESE: Final = "zh_Hans"
SHORTEST: Final = 6
"""Letters outside the placeholders a sentence needs to be recognised by; "%s days" could be anybody's."""
CJK: Final = "\u2e80"
LONGEST: Final = 4000
"""Characters up to which a text is looked at."""
DEEPEST: Final = 3
"""A reason may hold a reason, which may hold one."""


class Sentence(NamedTuple):
    """One wording of a message, its language, its longest part between placeholders, the message in both languages."""

    language: str
    wording: str
    longest: str
    english: str
    chinese: str


def retold(text: object) -> str:
    """`text` in the active language if it is a sentence of this program, else as it is; an absent text is empty."""
    plain = "" if text is None else str(text)
    if not plain.strip() or len(plain) > LONGEST:
        return plain
    return _retold(plain, (get_language() or "en").startswith("zh"), DEEPEST)


@lru_cache(maxsize=2048)
def _retold(text: str, to_chinese: bool, depth: int, within: str = "") -> str:
    for sentence in _sentences():
        if sentence.longest not in text or (within and sentence.language != within):
            continue
        pattern = _pattern(sentence.wording)
        found = pattern.fullmatch(text)
        if found is not None:
            # A sentence is in one language: in an English one, the channel's column 手续费 is a name, not ours to tell.
            values = [
                _retold(value, to_chinese, depth - 1, sentence.language) if depth else value for value in found.groups()
            ]
            names = {name: values[index - 1] for name, index in pattern.groupindex.items()}
            return _filled(sentence.chinese if to_chinese else sentence.english, names, iter(values))
    return text


def _filled(template: str, names: dict[str, str], values: Iterator[str]) -> str:
    def value(found: re.Match[str]) -> str:
        if found["percent"]:
            return "%"
        return names[found["name"]] if found["name"] else next(values)

    return PLACEHOLDER.sub(value, template)


@cache
def _sentences() -> list[Sentence]:
    """Every message that can be recognised, in both wordings.

    The one a text fits best comes first: one that begins with a word of its own, then the one with most of them. So a
    reason within a reason is not taken for the whole.
    """
    catalogue = gettext.translation("django", localedir=str(settings.LOCALE_PATHS[0]), languages=[CHINESE])
    weighed = []
    for english, chinese in catalogue._catalog.items():  # type: ignore[attr-defined]
        # Plurals are counts on a page, and messages with a context are single words.
        if not isinstance(english, str) or not english or "\x04" in english:
            continue
        for language, wording in (("en", english), ("zh", chinese)):
            literals = PLACEHOLDER.sub("\0", wording).split("\0")
            weight = sum(map(_weight, literals))
            if weight >= SHORTEST:
                weighed.append((weight, Sentence(language, wording, max(literals, key=len), english, chinese)))
    weighed.sort(key=lambda each: (each[1].wording.startswith("%"), -each[0]))
    return [sentence for _weight_, sentence in weighed]


def _weight(literal: str) -> int:
    """How much a text says: its letters, a Chinese one counting as three."""
    return sum(3 if letter > CJK else 1 for letter in literal)


@cache
def _pattern(wording: str) -> re.Pattern[str]:
    """What recognises a wording; made when it is first needed, for most never is."""
    pattern, seen, end = "", set[str | None](), 0
    for found in PLACEHOLDER.finditer(wording):
        pattern += re.escape(wording[end : found.start()])
        name, end = found["name"], found.end()
        if found["percent"]:
            pattern += "%"
        elif name and name in seen:
            pattern += f"(?P={name})"
        else:
            value = r"-?\d+" if found["kind"] == "d" else ".+?"
            pattern += f"(?P<{name}>{value})" if name else f"({value})"
            seen.add(name)
    return re.compile(pattern + re.escape(wording[end:]), re.DOTALL)
