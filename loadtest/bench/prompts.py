"""Prompts that nobody has sent before: random token ids, or text of as many tokens. Pure but for the tokenizer's file.

Shared beginnings are the only thing two prompts have in common: prefixes drawn once, or a trace's hashed stretches.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any, Protocol

from common.types.options import ConfigError
from loadtest.bench.trace import HASHED_TOKENS

FIRST_ID = 5
"""Ids below are often special: beginnings, ends, padding."""
LEAST_VOCAB = 500
"""Every vocabulary is at least this large."""
NUM_FITTINGS = 8
WORDS = ("time", "year", "people", "way", "day", "man", "thing", "woman", "life", "child", "world", "school")


class Wording(Protocol):
    """How token ids become what is sent."""

    def word(self, ids: tuple[int, ...]) -> tuple[tuple[int, ...] | str, int]:
        """The prompt, and how many tokens it is believed to have."""
        ...


class AsIds:
    """Sent as they are."""

    def word(self, ids: tuple[int, ...]) -> tuple[tuple[int, ...] | str, int]:
        return ids, len(ids)


class AsWords:
    """Text for servers that take no ids and whose tokenizer is not at hand: one short English word for each id."""

    def word(self, ids: tuple[int, ...]) -> tuple[tuple[int, ...] | str, int]:
        return " ".join(WORDS[id % len(WORDS)] for id in ids), len(ids)


class AsText:
    """Text that a tokenizer turns into as many tokens: decoded, encoded again, cut or lengthened until it fits."""

    def __init__(self, folder: str) -> None:
        from tokenizers import Tokenizer

        path = Path(folder) / "tokenizer.json"
        if not path.is_file():
            raise ConfigError(f"--tokenizer {folder} has no tokenizer.json", "Name a model's folder")
        self._tokenizer: Any = Tokenizer.from_file(str(path))
        self.vocab_size = int(self._tokenizer.get_vocab_size())

    def word(self, ids: tuple[int, ...]) -> tuple[tuple[int, ...] | str, int]:
        wanted, now = len(ids), list(ids)
        text = ""
        for _ in range(NUM_FITTINGS):
            text = self._tokenizer.decode(now)
            now = self._tokenizer.encode(text, add_special_tokens=False).ids
            if len(now) == wanted:
                break
            now = now[:wanted] if len(now) > wanted else now + list(ids[: wanted - len(now)])
        return text, len(self._tokenizer.encode(text, add_special_tokens=False).ids)


class Prompts:
    """Draws token ids; the same seed gives the same prompts."""

    def __init__(self, seed: int, vocab_size: int, num_prefixes: int, prefix_tokens: int) -> None:
        self._seed = seed
        self._ids = range(min(FIRST_ID, vocab_size - 1), vocab_size)
        self._random = Random(f"prompts {seed}")
        self._prefixes = [self._draw(Random(f"prefix {seed} {n}"), prefix_tokens) for n in range(num_prefixes)]
        self._stretch = lru_cache(maxsize=4096)(self._hashed)

    def fresh(self, num_tokens: int) -> tuple[int, ...]:
        """One of the shared beginnings, and so many new tokens."""
        prefix = self._random.choice(self._prefixes)
        return tuple(prefix + self._draw(self._random, num_tokens))

    def hashed(self, hash_ids: Sequence[int], num_tokens: int) -> tuple[int, ...]:
        """A trace's prompt: each id stands for its own stretch of tokens; what no id covers is new."""
        ids: list[int] = []
        for hash_id in hash_ids:
            ids += self._stretch(hash_id)
        missing = max(0, num_tokens - len(ids))
        return tuple((ids + self._draw(self._random, missing))[:num_tokens])

    def _hashed(self, hash_id: int) -> list[int]:
        return self._draw(Random(f"stretch {self._seed} {hash_id}"), HASHED_TOKENS)

    def _draw(self, random: Random, count: int) -> list[int]:
        return random.choices(self._ids, k=count)
