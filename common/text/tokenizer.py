"""Text to token ids and back, for one model folder: the same ids and texts as transformers' AutoTokenizer.

`tokenizer.json` says it all: also whether tokens are put in front or behind (`add_bos_token` beside it is ignored, as
transformers does). Knows nothing of chats or streams.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Backend
from tokenizers import decoders, pre_tokenizers

from common.text.files import read_object, read_text
from common.text.special import SpecialTokens
from common.types.errors import ModelError, invalid

NO_BOUND = 1 << 31
LONG_CHARS = 16 << 10
CHARS_PER_TOKEN = 8
"""Twice what tokenizers make of most texts."""
_LLAMA_TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


class Tokenizer:
    """Immutable after loading; safe to use from several threads."""

    def __init__(self, backend: Backend, special: SpecialTokens) -> None:
        self.backend = backend
        self.special_tokens = special.named
        self.vocab_size: int = backend.get_vocab_size(with_added_tokens=True)
        self.bos_token_id = self.token_id(self.special_tokens.get("bos_token"))
        self.eos_token_id = self.token_id(self.special_tokens.get("eos_token"))
        added = backend.get_added_tokens_decoder()
        self.added_ids = frozenset(added)
        self.special_ids = frozenset(token_id for token_id, token in added.items() if token.special)
        self.byte_ids = _byte_ids(backend)
        self.token_bytes = _token_bytes(backend)
        self.text_bytes = {id: text for id, text in self.token_bytes.items() if id not in self.special_ids}

    @classmethod
    def load(cls, folder: Path) -> "Tokenizer":
        """Raises ModelError, which says what is missing or broken."""
        path = folder / "tokenizer.json"
        text = read_text(path)
        if text is None:
            raise ModelError(
                f"there is no tokenizer.json in {folder}",
                "Save the model's tokenizer with transformers (tokenizer.save_pretrained)",
            )
        try:
            backend = Backend.from_str(text)
        except Exception as error:
            raise ModelError(f"{path} is broken or of an unknown kind", "Download the model again") from error
        config = read_object(folder / "tokenizer_config.json")
        if '"ByteLevel"' not in text and _rebuilt_by_transformers(backend, config, read_object(folder / "config.json")):
            config = {**_LLAMA_TOKENS, **config}
            _like_llama(backend, config)
        backend.no_truncation()
        backend.no_padding()
        special = SpecialTokens.load(folder, config)
        special.complete(backend)
        backend.encode_special_tokens = bool(config.get("split_special_tokens", False))
        return cls(backend, special)

    def encode(self, text: str, add_special_tokens: bool = True, most: int = NO_BOUND) -> list[int]:
        """Raises InvalidRequest when there are more than so many: before a list is made of them, and, where the
        text leaves no doubt, before the library takes a hundred bytes for each.
        """
        if len(text) > most * CHARS_PER_TOKEN:
            raise invalid("prompt", f"has {len(text)} characters, at most {most * CHARS_PER_TOKEN} are read")
        if len(text) > LONG_CHARS:  # without places in the text it takes a quarter of the time, and a thread's start
            (encoded,) = self.backend.encode_batch_fast([text], add_special_tokens=add_special_tokens)
        else:
            encoded = self.backend.encode(text, add_special_tokens=add_special_tokens)
        if len(encoded) > most:
            raise invalid("prompt", f"has {len(encoded)} tokens, at most {most} are read")
        ids: list[int] = encoded.ids
        return ids

    def decode(self, token_ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        """Ids without a token are left out; incomplete characters become U+FFFD."""
        text: str = self.backend.decode(list(token_ids), skip_special_tokens=skip_special_tokens)
        return text

    def token_id(self, token: str | None) -> int | None:
        return None if token is None else self.backend.token_to_id(token)


def _byte_ids(backend: Backend) -> dict[int, int]:
    """Tokens that stand for one byte of a character, with the byte, where the decoder puts such bytes together."""
    if "ByteFallback" not in repr(backend.decoder):
        return {}
    ids = ((backend.token_to_id(f"<0x{byte:02X}>"), byte) for byte in range(256))
    return {token_id: byte for token_id, byte in ids if token_id is not None}


def _token_bytes(backend: Backend) -> dict[int, bytes]:
    """The bytes of every token, where a text is nothing but the bytes of its tokens; else empty."""
    if type(backend.decoder) is not decoders.ByteLevel:
        return {}
    table = _byte_alphabet()
    tokens = ((token_id, token) for token, token_id in backend.get_vocab(with_added_tokens=True).items())
    return {token_id: _bytes_of(token, table) for token_id, token in tokens}


def _bytes_of(token: str, table: Mapping[str, int]) -> bytes:
    """A token with any other character stands for itself."""
    return bytes(table[char] for char in token) if table.keys() >= set(token) else token.encode()


def _byte_alphabet() -> dict[str, int]:
    """The characters byte-level tokenizers write bytes with: printable ones themselves, the others from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + place): byte for place, byte in enumerate(others)}


def _rebuilt_by_transformers(backend: Backend, config: Mapping[str, Any], model: Mapping[str, Any]) -> bool:
    """Whether transformers 5 keeps only vocabulary and merges of the file, and makes the rest itself.

    It does for models of type llama whose tokenizer calls itself LlamaTokenizer and is not byte-level.
    """
    name = str(config.get("tokenizer_class") or model.get("tokenizer_class") or "").removesuffix("Fast")
    is_bpe = type(backend.model).__name__ == "BPE"
    return is_bpe and name == "LlamaTokenizer" and model.get("model_type", "llama") == "llama"


def _like_llama(backend: Backend, config: Mapping[str, Any]) -> None:
    """A space goes in front of the text, of every stretch between special tokens (legacy), or nowhere."""
    in_front = config.get("add_prefix_space") is not False
    scheme = ("always" if config.get("legacy") else "first") if in_front else "never"
    backend.normalizer = None
    backend.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=scheme, split=False)
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    backend.decoder = decoders.Sequence([*steps, decoders.Strip(content=" ", left=1)] if in_front else steps)
    backend.model.byte_fallback = True
    backend.model.fuse_unk = True
