"""Text from tokens as they come, for tokenizers whose tokens are plain bytes: one look-up a token, no window.

The same text as decoding all tokens at once, because bytes that are no UTF-8 become U+FFFD in the same places.
"""

from collections import ChainMap
from collections.abc import Mapping, Sequence
from encodings.utf_8 import IncrementalDecoder

from common.text.tokenizer import Tokenizer

CHARACTER_BYTES = 4


class ByteDetokenizer:
    """Holds at most the beginning of one character."""

    __slots__ = ("_bytes", "_decoder", "_whole")

    def __init__(
        self, tokenizer: Tokenizer, prompt: Sequence[int], skip_special_tokens: bool, shown: frozenset[int]
    ) -> None:
        self._bytes: Mapping[int, bytes] = tokenizer.text_bytes if skip_special_tokens else tokenizer.token_bytes
        if shown:
            self._bytes = ChainMap({id: tokenizer.token_bytes[id] for id in shown}, tokenizer.text_bytes)
        self._decoder = IncrementalDecoder(errors="replace")
        self._decoder.decode(self._last_bytes(prompt))
        self._whole = not self._decoder.buffer
        """Whether no character is incomplete."""

    def feed(self, token_ids: Sequence[int]) -> str:
        """The text that became certain; empty while a character is incomplete."""
        if len(token_ids) == 1:
            data = self._bytes.get(token_ids[0], b"")
        else:
            data = b"".join(self._bytes.get(token_id, b"") for token_id in token_ids)
        if self._whole and data.isascii():  # nearly every token of nearly every text
            return data.decode()
        text = self._decoder.decode(data)
        self._whole = not self._decoder.buffer
        return text

    def flush(self) -> str:
        """What is still held back, an incomplete character as U+FFFD. Nothing may be fed afterwards."""
        return self._decoder.decode(b"", True)

    def _last_bytes(self, prompt: Sequence[int]) -> bytes:
        """Enough of the prompt's end to know the character that it leaves incomplete."""
        last = b""
        for token_id in reversed(prompt):
            last = self._bytes.get(token_id, b"") + last
            if len(last) >= CHARACTER_BYTES:
                break
        return last
