"""Which tokens are special, as a model folder's files say: names, extra ones, and how each is matched in text.

`tokenizer_config.json` counts; `special_tokens_map.json` only where the former lists no added tokens, as before 2024.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer

from common.text.files import read_object
from common.types.errors import ModelError

_NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


class SpecialTokens:
    """The special tokens of a folder: `named` by role, for chat templates and ids, and all that must be matched."""

    def __init__(
        self, named: Mapping[str, AddedToken], extra: tuple[AddedToken, ...], listed: tuple[AddedToken, ...]
    ) -> None:
        self._named, self._extra, self._listed = named, extra, listed

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any]) -> "SpecialTokens":
        listed = config.get("added_tokens_decoder")
        said = dict(config)
        if listed is None:
            said.update(read_object(folder / "special_tokens_map.json"))
        try:
            by_id = sorted((listed or {}).items(), key=lambda entry: int(entry[0]))
            tokens = tuple(_token(value, special=False) for _, value in by_id)
            known = {token.content: token for token in tokens}
            named = {name: _known(known, value) for name, value in said.items() if _is_named(name, value)}
            extra = tuple(_known(known, value) for value in _extra(said))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"the special tokens in {folder} cannot be understood", "Check tokenizer_config.json"
            ) from error
        return cls(named, extra, tokens)

    @property
    def named(self) -> dict[str, str]:
        """Text by role, such as `bos_token`."""
        return {name: token.content for name, token in self._named.items()}

    def complete(self, tokenizer: Tokenizer) -> None:
        """Adds to the tokenizer what the folder lists and its tokenizer.json lacks or says otherwise."""
        present = tokenizer.get_added_tokens_decoder().values()
        same = {repr(token) for token in present}
        new = [token for token in self._listed if repr(token) not in same]
        contents = {token.content for token in present} | {token.content for token in new}
        for token in (*self._named.values(), *self._extra):
            if token.content not in contents:
                contents.add(token.content)
                new.append(token)
        if new:
            tokenizer.add_tokens(new)


def _is_named(name: str, value: object) -> bool:
    return (name in _NAMES or name.endswith("_token")) and isinstance(value, str | dict) and bool(value)


def _extra(said: Mapping[str, Any]) -> Iterator[object]:
    extra = said.get("extra_special_tokens") or said.get("additional_special_tokens") or ()
    yield from extra.values() if isinstance(extra, dict) else extra


def _known(known: Mapping[str, AddedToken], value: object) -> AddedToken:
    """The listed token of that text, which says more, or the value itself."""
    token = _token(value, special=True)
    return known.get(token.content, token)


def _token(value: object, special: bool) -> AddedToken:
    if isinstance(value, str):
        return AddedToken(value, special=special)
    if not isinstance(value, dict):
        raise TypeError("neither a text nor an object")
    flags = {flag: bool(value[flag]) for flag in _FLAGS if flag in value}
    return AddedToken(value["content"], **{"special": special, **flags})
