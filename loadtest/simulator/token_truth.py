"""A model small enough to know by heart: the next token is a hash of every token its attention can see.

So KV of another request, of another place or of a garbled block yields other tokens, and what a client must get can be
computed without any fleet.
"""

from dataclasses import dataclass
from zlib import crc32

from common.types.attempt import Attempt
from common.types.sampling import FinishReason, SampledToken
from loadtest.simulator.words import Content

VOCABULARY = 5000
STOP_ONE_IN = 16


@dataclass(frozen=True, slots=True)
class TokenTruth:
    """Blocks hold the tokens they were computed from."""

    layout: str = "simulated"
    block_tokens: int = 4

    def content(self, attempt: Attempt, place: int) -> Content:
        return attempt.token_ids[place * self.block_tokens : (place + 1) * self.block_tokens]

    def checksum(self, content: Content) -> int:
        return crc32(repr(content).encode())

    def token(
        self, attempt: Attempt, contents: tuple[Content, ...], choice: int, output: tuple[int, ...]
    ) -> SampledToken:
        seen = [token for content in contents for token in content or ("garbage",)]
        seen += output[attempt.next_index :]
        index = len(output)
        token_id = crc32(repr((seen, attempt.sampling.seed, choice)).encode()) % VOCABULARY
        if index + 1 >= attempt.sampling.max_tokens:
            return SampledToken(choice, index, token_id, finish=FinishReason.LENGTH)
        return SampledToken(choice, index, token_id, finish=FinishReason.STOP if token_id % STOP_ONE_IN == 0 else None)

    def answer(self, attempt: Attempt, choice: int) -> list[int]:
        """All tokens of one choice of a request's first attempt."""
        contents = tuple(self.content(attempt, p) for p in range(-(-len(attempt.token_ids) // self.block_tokens)))
        output: tuple[int, ...] = ()
        while True:
            token = self.token(attempt, contents, choice, output)
            output += (token.token_id,)
            if token.finish is not None:
                return list(output)
