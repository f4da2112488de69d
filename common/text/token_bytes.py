"""What single tokens stand for: bytes, and a text that names each of them apart. Knows nothing of how tokens join."""

from common.text.tokenizer import Tokenizer


class TokenBytes:
    """Looked up once and kept; event loop only."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._known: dict[int, tuple[str, bytes]] = {}
        decoder = tokenizer.backend.decoder
        self.drops_first_space = decoder is not None and decoder.decode(["▁a"]) == "a"
        """Whether a text's first token has a space in front that the text itself has not."""

    def bytes_of(self, token_id: int) -> bytes:
        return self._look_up(token_id)[1]

    def text(self, token_id: int) -> str:
        """Bytes that are no characters by themselves are written out: `bytes:\\xf0\\x9f`."""
        return self._look_up(token_id)[0]

    def is_special(self, token_id: int) -> bool:
        """Whether answers are shown without it."""
        return token_id in self._tokenizer.special_ids

    def _look_up(self, token_id: int) -> tuple[str, bytes]:
        known = self._known.get(token_id)
        if known is None:
            data = self._bytes(token_id)
            try:
                text = data.decode("utf-8")
            except UnicodeDecodeError:
                text = "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)
            known = self._known[token_id] = text, data
        return known

    def _bytes(self, token_id: int) -> bytes:
        """Ids beyond the vocabulary stand for nothing."""
        if self._tokenizer.token_bytes:
            return self._tokenizer.token_bytes.get(token_id, b"")
        if token_id in self._tokenizer.byte_ids:
            return bytes((self._tokenizer.byte_ids[token_id],))
        piece: str | None = self._tokenizer.backend.id_to_token(token_id)
        if piece is None:
            return b""
        return piece.encode() if token_id in self._tokenizer.added_ids else piece.replace("▁", " ").encode()
