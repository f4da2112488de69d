"""A simulated decode worker: the real `Lander` and the real `BlockPool`, with copies that land when the driver says.

Bytes are modelled as one content per block. A copy reads and writes one block at a time, whatever happened to either
side meanwhile, and compares checksums when it has written the last.
"""

from collections.abc import Iterable

from common.cache.pool import BlockPool
from common.engine.messages import BlocksReady, Joined, Sealed
from common.types.attempt import Attempt
from common.types.errors import StaleAttempt
from common.types.handoff import FailureKind, Verdict
from common.types.ids import AttemptId
from common.types.kv import Manifest, Pair
from common.types.sampling import SampledToken
from kvtransfer.handoff.actions import (
    AskLanded,
    CopyBlocks,
    Fence,
    FreeBlocks,
    JoinBatch,
    LanderAction,
    OpenFetch,
    Overdue,
    QuarantineBlocks,
    Report,
    ReserveBlocks,
    StartLocal,
)
from kvtransfer.handoff.land import Lander
from kvtransfer.handoff.steps import MemberId
from loadtest.simulator import words
from loadtest.simulator.words import (
    Answer,
    Attach,
    Cancel,
    Content,
    Message,
    Refusal,
    Renewed,
    Tokens,
    Truth,
    Violation,
)

CopyId = tuple[AttemptId, int]


class Copy:
    """A copy in flight: what is left of it to write, and all it is to verify at the end."""

    __slots__ = ("num_written", "pairs")

    def __init__(self, pairs: tuple[Pair, ...]) -> None:
        self.pairs = pairs
        self.num_written = 0


class Sequence:
    """One attempt inside the engine."""

    __slots__ = ("attempt", "blocks", "fence_asked", "first_tokens", "outputs", "router", "running", "source")

    def __init__(self, attempt: Attempt, router: MemberId, source: MemberId | None) -> None:
        self.attempt = attempt
        self.router = router
        self.source = source
        self.blocks: list[int] = []
        self.running = False
        self.fence_asked = False
        self.first_tokens: tuple[SampledToken, ...] = ()
        self.outputs: dict[int, tuple[int, ...]] = {}


class DecodeSite:
    """One process. Every method returns the messages it sends."""

    def __init__(self, me: MemberId, truth: Truth, lander: Lander, num_blocks: int) -> None:
        self.me = me
        self.truth = truth
        self.lander = lander
        self.pool = BlockPool(num_blocks)
        self.memory: list[Content] = [None] * num_blocks
        self.sequences: dict[AttemptId, Sequence] = {}
        self.waiting: list[AttemptId] = []
        self.copies: dict[CopyId, Copy] = {}
        self.overdue = False

    def receive(self, message: Message, now: float) -> list[Message]:
        """One message off the wire, of this epoch."""
        match message.body:
            case Attach(attempt, source, remaining_s):
                return self._attach(attempt, source, message.source, now, remaining_s)
            case Cancel(id):
                return self._perform(self.lander.cancel(id, now), now)
            case BlocksReady(id, first_block, refs):
                return self._perform(self.lander.ready(id, first_block, refs, now), now)
            case Sealed(manifest):
                return self._perform(self.lander.sealed(manifest, now), now)
            case Refusal(id):
                return self._perform(self.lander.refused(id, now), now)
            case Renewed(id):
                self.lander.renewed(id, now)
            case Answer(id, verdict):
                return self.answered(id, verdict, now)
        return []

    def answered(self, id: AttemptId, verdict: Verdict | None, now: float) -> list[Message]:
        """What came of `Landed`; None after the last try."""
        return self._perform(self.lander.verdict(id, verdict, now), now)

    def source_lost(self, id: AttemptId, now: float) -> list[Message]:
        """The lender's process was found to be gone."""
        return self._perform(self.lander.source_lost(id, now), now)

    def next_pair(self, copy_id: CopyId) -> Pair:
        """What a copy reads and writes next."""
        copy = self.copies[copy_id]
        return copy.pairs[copy.num_written]

    def write(self, copy_id: CopyId, content: Content, now: float) -> list[Message]:
        """A copy writes its next block, and is over after the last."""
        copy = self.copies[copy_id]
        self.memory[copy.pairs[copy.num_written].target] = content
        copy.num_written += 1
        if copy.num_written < len(copy.pairs):
            return []
        del self.copies[copy_id]
        ok = all(self.truth.checksum(self.memory[pair.target]) == pair.source.checksum for pair in copy.pairs)
        return self._perform(self.lander.copied(*copy_id, ok, now), now)

    def break_copy(self, copy_id: CopyId, now: float) -> list[Message]:
        """A copy fails and writes no more."""
        del self.copies[copy_id]
        return self._perform(self.lander.copied(*copy_id, False, now), now)

    def fenced(self, id: AttemptId, now: float) -> list[Message]:
        """The fence stands: the attempt's copies can write no more."""
        self.copies = {copy_id: copy for copy_id, copy in self.copies.items() if copy_id[0] != id}
        return self._perform(self.lander.drained(id, now), now)

    def running(self) -> list[AttemptId]:
        return [id for id, sequence in self.sequences.items() if sequence.running]

    def step(self, id: AttemptId, now: float) -> list[Message]:
        """One decode step of one attempt: its first tokens again, then a token for each choice."""
        sequence = self.sequences[id]
        self.check_content(sequence)
        tokens = sequence.first_tokens
        sequence.first_tokens = ()
        if not tokens:
            contents = tuple(self.memory[block] for block in sequence.blocks)
            tokens = tuple(
                self.truth.token(sequence.attempt, contents, c, o) for c, o in sorted(sequence.outputs.items())
            )
        for token in tokens:
            sequence.outputs[token.choice] += (token.token_id,)
            if token.finish is not None:
                del sequence.outputs[token.choice]
        sent = [Message(self.me, sequence.router, Tokens(id, tokens))]
        return sent if sequence.outputs else sent + self._perform(self.lander.finished(id, now), now)

    def expire(self, now: float) -> list[Message]:
        """Timers."""
        return self._perform(self.lander.tick(now), now)

    def lose(self, router: MemberId, now: float) -> list[Message]:
        """A session ended, and with it all that came over it."""
        ids = [id for id, sequence in self.sequences.items() if sequence.router == router]
        return [message for id in ids for message in self._perform(self.lander.cancel(id, now), now)]

    def check(self) -> None:
        """The invariants that can be seen from here."""
        self.pool.check()
        for (id, _), copy in self.copies.items():
            sequence = self.sequences.get(id)
            if sequence is None or not {pair.target for pair in copy.pairs} <= set(sequence.blocks):
                raise Violation(f"a copy of {id} writes into blocks that are not its own")
        for sequence in self.sequences.values():
            if sequence.running:
                self.check_content(sequence)

    def check_content(self, sequence: Sequence) -> None:
        """A decoding attempt holds exactly its own sealed content."""
        for place, block in enumerate(sequence.blocks):
            if self.memory[block] != self.truth.content(sequence.attempt, place):
                raise Violation(f"{sequence.attempt.id} decodes from {self.memory[block]} in place {place}")

    def _attach(
        self, attempt: Attempt, source: MemberId | None, router: MemberId, now: float, remaining_s: float
    ) -> list[Message]:
        try:
            actions = self.lander.attach(attempt, now, remaining_s, local=source is None)
        except StaleAttempt:
            if self.lander.state(attempt.id) is not None:
                return []  # this very attempt: its fate is told elsewhere
            return [Message(self.me, router, Report(attempt.id, FailureKind.STALE))]
        self.sequences[attempt.id] = Sequence(attempt, router, source)
        return self._perform(actions, now)

    def _perform(self, actions: Iterable[LanderAction], now: float) -> list[Message]:
        sent: list[Message] = []
        for action in actions:
            sent += self._act(action, now)
        return sent

    def _act(self, action: LanderAction, now: float) -> list[Message]:
        sequence = self.sequences[action.id]
        match action:
            case ReserveBlocks(id) | StartLocal(id):
                self.waiting.append(id)
                return self._admit(now)
            case OpenFetch(id, num_skip_blocks):
                return self._ask(sequence, words.Fetch(id, num_skip_blocks))
            case CopyBlocks(id, copy, pairs):
                self.copies[id, copy] = Copy(pairs)
            case AskLanded(id):
                return self._ask(sequence, words.Landed(id))
            case JoinBatch(_, manifest):
                return self._join(sequence, manifest)
            case QuarantineBlocks():
                self.pool.quarantine(sequence.blocks)
            case Fence():
                sequence.fence_asked = True
            case FreeBlocks(id):
                return self._free(id, sequence, now)
            case Overdue():
                self.overdue = True
            case Report():
                return [Message(self.me, sequence.router, action)]
        return []

    def _ask(self, sequence: Sequence, body: words.Fetch | words.Landed) -> list[Message]:
        return [] if sequence.source is None else [Message(self.me, sequence.source, body)]

    def _admit(self, now: float) -> list[Message]:
        sent: list[Message] = []
        while self.waiting:
            sequence = self.sequences[self.waiting[0]]
            blocks = self.pool.allocate(-(-len(sequence.attempt.token_ids) // self.truth.block_tokens))
            if blocks is None:
                break
            self.waiting.pop(0)
            sequence.blocks = blocks
            if sequence.source is None:
                for place, block in enumerate(blocks):
                    self.memory[block] = self.truth.content(sequence.attempt, place)
                sent += self._join(sequence, None)
            else:
                sent += self._perform(self.lander.reserved(sequence.attempt.id, tuple(blocks), 0, now), now)
        return sent

    def _join(self, sequence: Sequence, manifest: Manifest | None) -> list[Message]:
        output = sequence.attempt.token_ids[sequence.attempt.num_prompt_tokens :]
        sequence.outputs = {choice.index: output + choice.tail for choice in sequence.attempt.choices}
        sequence.first_tokens = () if manifest is None else manifest.first_tokens
        sequence.running = True
        return [Message(self.me, sequence.router, Joined(sequence.attempt.id))]

    def _free(self, id: AttemptId, sequence: Sequence, now: float) -> list[Message]:
        del self.sequences[id]
        if id in self.waiting:
            self.waiting.remove(id)
        self.pool.release(sequence.blocks)
        for block in sequence.blocks:
            self.memory[block] = None
        return self._admit(now)
