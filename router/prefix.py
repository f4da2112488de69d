"""How much of a prompt a member already holds, told from the prefix hashes it reported: a hint, never proof."""

from collections.abc import Set

from common.types.hashing import block_hash, root_hash, wire_hash


class PromptHashes:
    """The hash chain of one token sequence, computed only as far as some member's hits reach."""

    def __init__(self, key: bytes, salt: bytes, model_fingerprint: str, token_ids: tuple[int, ...]) -> None:
        self._key = key
        self._root = root_hash(key, salt, model_fingerprint)
        self._token_ids = token_ids
        self._chains: dict[int, list[bytes]] = {}

    def num_cached_tokens(self, hashes: Set[int], block_tokens: int) -> int:
        """Tokens of the leading full blocks whose hashes are all among `hashes`."""
        if not hashes:
            return 0
        known = self._chains.setdefault(block_tokens, [])
        num_blocks = 0
        while (num_blocks + 1) * block_tokens <= len(self._token_ids):
            if num_blocks == len(known):
                known.append(self._next(known, block_tokens))
            if wire_hash(known[num_blocks]) not in hashes:
                break
            num_blocks += 1
        return num_blocks * block_tokens

    def _next(self, known: list[bytes], block_tokens: int) -> bytes:
        start = len(known) * block_tokens
        parent = known[-1] if known else self._root
        return block_hash(self._key, parent, self._token_ids[start : start + block_tokens])
