"""What several changes disrupt, in one text: phrases that differ in one word share it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reconciler.cli.plans.facts import listed, ranges

_PHRASES, _WORDS = 3, 3  # phrases of a text, and words of a phrase that several changes share


class _Phrase:
    """The words of a phrase; ``place`` is that of the word in which the changes differ, which is one of ``items``."""

    __slots__ = ("items", "place", "words")

    def __init__(self, text: str) -> None:
        self.words = text.split(" ")
        self.place = -1
        self.items: dict[str, None] = {}

    def takes(self, words: Sequence[str]) -> bool:
        """Whether the other words say the same but for one word; it is noted then."""
        if len(words) != len(self.words):
            return False
        places = [place for place, pair in enumerate(zip(words, self.words, strict=True)) if pair[0] != pair[1]]
        if len(places) != 1 or self.place not in (-1, *places):
            return not places
        if self.place < 0:
            (self.place,) = places
            self.items[self.words[self.place]] = None
        self.items[words[self.place]] = None
        return True

    def __str__(self) -> str:
        if self.place < 0:
            return " ".join(self.words)
        items = listed(ranges(list(self.items)), most=_WORDS)
        return " ".join([*self.words[: self.place], items, *self.words[self.place + 1 :]])


def told(texts: Iterable[str]) -> str:
    """``traffic over v1, v2 stops; everything in a ends``: the first few phrases, and how many more there are."""
    phrases: list[_Phrase] = []
    more = set()
    for phrase in dict.fromkeys(part for text in texts for part in text.split("; ") if part):
        words = phrase.split(" ")
        if not any(one.takes(words) for one in phrases):
            if len(phrases) < _PHRASES:
                phrases.append(_Phrase(phrase))
            else:
                more.add(phrase)
    return "; ".join(map(str, phrases)) + (f" and {len(more):,} more" if more else "")
