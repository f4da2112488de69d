"""What a policy may know: the fleet frozen at one moment, and what one attempt needs. Numbers only.

Knows nothing of streams or of time; the prefix hashes are already counted (`num_cached_tokens`) when this is made.
"""

from dataclasses import dataclass

from common.types.attempt import Attempt
from common.types.ids import Role
from common.types.member import Hello, Load
from kvtransfer.handoff.steps import MemberId

EXPECTED_OUTPUT_TOKENS = 256
NOTHING_REPORTED = Load()


@dataclass(frozen=True, slots=True)
class Need:
    """One attempt, as a policy sees it."""

    num_tokens: int
    num_tail_tokens: int = 0
    num_choices: int = 1
    max_tokens: int = EXPECTED_OUTPUT_TOKENS
    scores_prompt: bool = False
    needs_decode: bool = True

    @classmethod
    def of(cls, attempt: Attempt) -> "Need":
        """`max_tokens` counts what is still to come, not what earlier attempts delivered."""
        tails = sum(len(choice.tail) for choice in attempt.choices)
        left = attempt.sampling.max_tokens - attempt.next_index
        return cls(
            num_tokens=len(attempt.token_ids),
            num_tail_tokens=tails,
            num_choices=len(attempt.choices),
            max_tokens=left,
            scores_prompt=attempt.sampling.prompt_logprobs is not None,
            needs_decode=tails > 0 or left > 1,
        )

    @property
    def expected_output_tokens(self) -> int:
        """Per choice. Nobody knows when an answer ends; a guess that is never above the limit."""
        return min(self.max_tokens, EXPECTED_OUTPUT_TOKENS)

    @property
    def expected_tokens(self) -> int:
        """All tokens whose KV a decode member will hold in the end, prefix sharing inside the attempt counted once."""
        return self.num_tokens + self.num_tail_tokens + self.num_choices * self.expected_output_tokens

    def blocks(self, block_tokens: int) -> int:
        """Blocks for the common part once, and for every choice's own end."""
        own = self.num_tail_tokens + self.num_choices * self.expected_output_tokens
        return -(-self.num_tokens // block_tokens) + -(-own // block_tokens)


@dataclass(frozen=True, slots=True)
class Member:
    """A live worker: what it said of itself, and what this router sent it (`sent_*`).

    `sent_tokens` are of prompts that are not computed yet; `head_tokens` of them belong to the oldest prompt, which has
    been that for `head_s`. `known_tokens` of the reported backlog were this router's own when the report came.
    """

    hello: Hello
    load: Load = NOTHING_REPORTED
    draining: bool = False
    num_attempts: int = 0
    sent_tokens: int = 0
    head_tokens: int = 0
    head_s: float = 0.0
    known_tokens: int = 0
    sent_blocks: int = 0
    sent_sequences: int = 0
    num_cached_tokens: int = 0

    @property
    def name(self) -> str:
        return self.hello.member

    @property
    def id(self) -> MemberId:
        return MemberId(self.hello.member, self.hello.epoch)

    @property
    def num_available_blocks(self) -> int:
        return self.load.num_free_blocks + self.load.num_cached_blocks - self.sent_blocks

    @property
    def num_sequences(self) -> int:
        """Sequences of the batch an attempt sent now would meet."""
        return self.load.num_running + self.load.num_waiting + self.sent_sequences

    def backlog_tokens(self, tokens_per_s: float) -> float:
        """Prompt tokens that a prompt sent now would wait for: this router's own, and those of others."""
        others = max(0, self.load.backlog_tokens - self.known_tokens)
        return others + self.sent_tokens - min(self.head_tokens, self.head_s * tokens_per_s)

    def uncached_tokens(self, num_tokens: int) -> int:
        """Tokens this member would have to compute: at least one, the one that is sampled after."""
        return max(1, num_tokens - self.num_cached_tokens)

    def can_hold(self, num_tokens: int) -> bool:
        """Whether these tokens would fit the member if it were empty."""
        pool_tokens = self.hello.num_blocks * self.hello.block_tokens
        return num_tokens <= min(self.hello.max_model_tokens, pool_tokens)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The fleet at one moment."""

    members: tuple[Member, ...]

    @property
    def prefill(self) -> tuple[Member, ...]:
        """Members that take new prompts, by name."""
        return self._taking(Role.PREFILL)

    @property
    def decode(self) -> tuple[Member, ...]:
        """Members that take new sequences, by name."""
        return self._taking(Role.DECODE)

    def without(self, avoid: frozenset[MemberId]) -> "Snapshot":
        """The fleet without members that failed this request before."""
        return Snapshot(tuple(member for member in self.members if member.id not in avoid))

    def _taking(self, role: Role) -> tuple[Member, ...]:
        taking = (m for m in self.members if m.hello.role is role and not m.draining)
        return tuple(sorted(taking, key=lambda member: member.name))


@dataclass(frozen=True, slots=True)
class Explanation:
    """One decision in words: what was chosen, and every candidate with its score, best first."""

    decision: str
    chosen: str
    candidates: tuple[str, ...]
