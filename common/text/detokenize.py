"""Text from tokens as they come, one object per choice: never half a character, and in the end the same text as
decoding all tokens at once.

Where tokens are more than bytes a short window is decoded each time: tokens that are out already, as context for
spaces, then the new ones. The library's DecodeStream is not used: as of 0.23 it raises on bytes that turn out to be no
text, and after a prompt that ends within a character it gives the prompt out again.
"""

from collections.abc import Sequence
from typing import Protocol

from common.text.detokenize_bytes import ByteDetokenizer
from common.text.tokenizer import Tokenizer

REPLACEMENT = "\ufffd"
CONTEXT_TOKENS = 8
HELD_BYTES = 12
MAX_HELD = 32


class Detokenizer(Protocol):
    """One choice's text, token by token."""

    def feed(self, token_ids: Sequence[int]) -> str:
        """The text that became certain; empty while a character is incomplete."""

    def flush(self) -> str:
        """What is still held back, an incomplete character as U+FFFD. Nothing may be fed afterwards."""


def detokenizer(
    tokenizer: Tokenizer,
    prompt: Sequence[int] = (),
    skip_special_tokens: bool = True,
    shown: frozenset[int] = frozenset(),
) -> Detokenizer:
    """Start it with the prompt's ids to get the text as it continues the prompt (a leading space included).

    `shown` are special tokens that count as text all the same.
    """
    kind = ByteDetokenizer if tokenizer.token_bytes else WindowDetokenizer
    return kind(tokenizer, prompt, skip_special_tokens, shown)


class WindowDetokenizer:
    """For tokenizers that join tokens in ways of their own."""

    def __init__(
        self, tokenizer: Tokenizer, prompt: Sequence[int], skip_special_tokens: bool, shown: frozenset[int]
    ) -> None:
        self._tokenizer = tokenizer
        self._skipped = tokenizer.special_ids - shown if skip_special_tokens else frozenset()
        self._context, self._window = self._split(prompt)
        self._prefix = _complete(self._decode(self._context))

    def feed(self, token_ids: Sequence[int]) -> str:
        """The text that became certain; empty while a character is incomplete."""
        kept = self._kept(token_ids)
        if not self._tokenizer.byte_ids:
            return self._push(kept)
        return "".join(self._push([token_id]) for token_id in kept)

    def _push(self, token_ids: list[int]) -> str:
        self._window += token_ids
        if not self._window or self._held():
            return ""
        text = self._decode(self._context + self._window)
        certain = _complete(text)
        new = certain[len(self._prefix) :]
        self._prefix = certain
        if certain == text:
            self._advance()
            self._prefix = self._decode(self._context)
        elif len(self._window) > MAX_HELD:
            self._advance()
            self._prefix = _complete(self._decode(self._context))
        return new

    def flush(self) -> str:
        """What is still held back, an incomplete character as U+FFFD. Nothing may be fed afterwards."""
        text = self._decode(self._context + self._window)
        new = text[len(self._prefix) :]
        self._window, self._prefix = [], text
        return new

    def _split(self, prompt: Sequence[int]) -> tuple[list[int], list[int]]:
        """The prompt's last tokens as context, and as window the bytes of a character it leaves incomplete."""
        tail = self._kept(prompt[-8 * CONTEXT_TOKENS :])
        num_bytes = self._num_trailing_bytes(tail)
        if num_bytes and REPLACEMENT in self._decode(tail[-num_bytes:]):
            return tail[:-num_bytes][-CONTEXT_TOKENS:], tail[-num_bytes:]
        return self._from_character(tail[-max(CONTEXT_TOKENS, num_bytes) :]), []

    def _kept(self, token_ids: Sequence[int]) -> list[int]:
        """Without what decoding leaves out: special tokens, and ids beyond the vocabulary."""
        text_of = self._tokenizer.backend.id_to_token
        return [token_id for token_id in token_ids if token_id not in self._skipped and text_of(token_id) is not None]

    def _num_trailing_bytes(self, token_ids: Sequence[int]) -> int:
        count = 0
        while count < len(token_ids) and token_ids[-1 - count] in self._tokenizer.byte_ids:
            count += 1
        return count

    def _held(self) -> bool:
        """Whether to wait for the end of a run of bytes: one bad byte spoils the whole run, also what was good.

        Long runs are texts written in bytes. They are given out character by character, or they would come late.
        """
        num_bytes = self._num_trailing_bytes(self._window)
        if not num_bytes:
            return False
        so_far = self._num_trailing_bytes(self._context) if num_bytes == len(self._window) else 0
        if num_bytes > MAX_HELD:
            return False
        return so_far + num_bytes <= HELD_BYTES or REPLACEMENT in self._decode(self._window[-num_bytes:])

    def _advance(self) -> None:
        """The window becomes the context, together with the old one when it has no text to tell spaces by."""
        last = self._window[-1]
        alone = last not in self._tokenizer.byte_ids and self._decode(self._window[-CONTEXT_TOKENS:]) != ""
        context = self._window if alone else self._context + self._window
        self._context, self._window = self._from_character(context[-2 * CONTEXT_TOKENS :]), []

    def _from_character(self, token_ids: list[int]) -> list[int]:
        """Without the bytes in front that end a character whose beginning was cut off."""
        start = 0
        while start < len(token_ids) and 0x80 <= self._tokenizer.byte_ids.get(token_ids[start], 0) < 0xC0:
            start += 1
        return token_ids[start:]

    def _decode(self, token_ids: list[int]) -> str:
        return self._tokenizer.decode(token_ids, skip_special_tokens=False)


def _complete(text: str) -> str:
    """Without a last character that may still be incomplete."""
    return text.removesuffix(REPLACEMENT)
