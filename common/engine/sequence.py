"""A sequence: how far one line of tokens has come inside this worker. Mutable; the engine thread alone touches it.

    waiting (no blocks) -> running: tokens[num_computed:] shrinks chunk by chunk; when it is empty the last logits are
    sampled, the token is appended, and one token remains to compute: decoding is a prefill of one token at a time.

Pre-empted means waiting again: the blocks are gone, the tokens stay.
"""

from dataclasses import dataclass, field

from common.types.attempt import Attempt, Choice


@dataclass(slots=True, eq=False)
class Sequence:
    """Either an attempt's common part (`choice` is None), or one of its choices.

    KV stands for `tokens[:num_computed]` in `blocks`. `digests` name the leading full blocks of `tokens` as far as they
    have been hashed; the first `num_published` blocks have been offered to the prefix index. `key` names the block
    table: it changes whenever the table changes in any other way than growing. Lower `arrival` came first. `num_scored`
    and `dropped` (choices no longer wanted) matter for a common part only.
    """

    attempt: Attempt
    choice: int | None
    tokens: list[int]
    root: bytes
    arrival: int
    key: int
    blocks: list[int] = field(default_factory=list)
    num_computed: int = 0
    digests: list[bytes] = field(default_factory=list)
    num_published: int = 0
    num_scored: int = 0
    dropped: set[int] = field(default_factory=set)

    @property
    def num_remaining(self) -> int:
        """Tokens whose KV is still to be computed; one while decoding."""
        return len(self.tokens) - self.num_computed

    @property
    def num_output(self) -> int:
        """Tokens of the answer so far; also the index of the next one."""
        return len(self.tokens) - self.attempt.num_prompt_tokens

    @property
    def wanted(self) -> tuple[Choice, ...]:
        """Of a common part: the choices that nobody has dropped."""
        return tuple(choice for choice in self.attempt.choices if choice.index not in self.dropped)

    @property
    def next_choices(self) -> tuple[int, ...]:
        """The choices whose next token is sampled where this sequence ends."""
        if self.choice is not None:
            return (self.choice,)
        return tuple(choice.index for choice in self.wanted if not choice.tail)

    @property
    def needs_scores(self) -> bool:
        """Whether some of the prompt's own log probabilities are still to be computed here."""
        asked = self.choice is None and self.attempt.sampling.prompt_logprobs is not None
        return asked and self.num_scored < self.attempt.num_prompt_tokens - 1

    @property
    def num_skippable(self) -> int:
        """Leading tokens that need no computing when their KV is cached: never the last one, nor one that scores."""
        return min(self.num_scored, len(self.tokens) - 1) if self.needs_scores else len(self.tokens) - 1
