"""A simulated prefill worker: the real `Lender` and the real `BlockPool`, an engine of one block a step."""

from collections.abc import Iterable

from common.cache.pool import BlockPool
from common.engine.messages import BlocksReady, FirstTokens, Sealed, Started
from common.types.attempt import Attempt
from common.types.errors import StaleAttempt
from common.types.handoff import LoanEnd
from common.types.ids import AttemptId
from common.types.kv import BlockRef, Manifest
from kvtransfer.handoff.actions import Closed, Free, LenderAction
from kvtransfer.handoff.lend import Lender
from kvtransfer.handoff.steps import MemberId
from loadtest.simulator.words import (
    Answer,
    Cancel,
    Content,
    Fetch,
    Landed,
    Lent,
    Message,
    Refusal,
    Renew,
    Renewed,
    Run,
    Truth,
    Violation,
)


class Sequence:
    """One attempt inside the engine."""

    __slots__ = ("attempt", "blocks", "follower", "lend", "num_computed", "router", "sealed", "started")

    def __init__(self, attempt: Attempt, lend: bool, router: MemberId) -> None:
        self.attempt = attempt
        self.lend = lend
        self.router = router
        self.follower: MemberId | None = None
        self.blocks: list[int] = []
        self.num_computed = 0
        self.started = False
        self.sealed = False


class PrefillSite:
    """One process. Every method returns the messages it sends."""

    def __init__(
        self, me: MemberId, truth: Truth, lender: Lender, num_blocks: int, before: "PrefillSite | None" = None
    ) -> None:
        """`before` is the process that ran here and died: peers that mapped its memory can still read it."""
        self.me = me
        self.left_behind: dict[MemberId, tuple[Content, ...]] = {}
        if before is not None:
            self.left_behind = {**before.left_behind, before.me: tuple(before.memory)}
        self.truth = truth
        self.lender = lender
        self.pool = BlockPool(num_blocks)
        self.memory: list[Content] = [None] * num_blocks
        self.sequences: dict[AttemptId, Sequence] = {}
        self.waiting: list[AttemptId] = []

    def receive(self, message: Message, now: float) -> list[Message]:
        """One message off the wire, of this epoch."""
        match message.body:
            case Run() as run:
                return self._run(run, message.source, now)
            case Cancel(id):
                return self._perform(self.lender.cancel(id))
            case Fetch(id, num_skip_blocks):
                return self._follow(id, num_skip_blocks, message.source)
            case Renew(id):
                alive = self.lender.renew(id, now)
                return [self._say(message.source, Renewed(id) if alive else Refusal(id))]
            case Landed(id):
                verdict, actions = self.lender.landed(id)
                return [*self._perform(actions), self._say(message.source, Answer(id, verdict))]
        return []

    def read(self, member: MemberId, block: int) -> Content:
        """What a peer finds that reads a block without asking."""
        return self.memory[block] if member == self.me else self.left_behind[member][block]

    def computable(self) -> list[AttemptId]:
        """Attempts whose next block can be computed."""
        return [
            id
            for id, sequence in self.sequences.items()
            if sequence.blocks and sequence.num_computed < len(sequence.blocks)
        ]

    def compute(self, id: AttemptId, now: float) -> list[Message]:
        """Begins an attempt, or computes its next block and, after the last, its first tokens."""
        sequence = self.sequences[id]
        if not sequence.started:
            sequence.started = True
            return [self._say(sequence.router, Started(id, 0, 0.0))]
        place = sequence.num_computed
        sequence.num_computed += 1
        content = self.truth.content(sequence.attempt, place)
        self.memory[sequence.blocks[place]] = content
        sent: list[Message] = []
        if sequence.lend:
            refs = (self._ref(sequence.blocks[place]),)
            self.lender.ready(id, place, refs)
            if sequence.follower is not None:
                sent.append(self._say(sequence.follower, BlocksReady(id, place, refs)))
        if sequence.num_computed == len(sequence.blocks):
            sent += self._complete(sequence, now)
        return sent

    def expire(self, now: float) -> list[Message]:
        """Timers."""
        return self._perform(self.lender.tick(now))

    def check(self) -> None:
        """The invariants that can be seen from here."""
        self.pool.check()
        for id, sequence in self.sequences.items():
            if self.lender.loan(id) is None:
                raise Violation(f"{id} holds blocks without a loan")
            if sequence.sealed and any(
                self.memory[b] != self.truth.content(sequence.attempt, p) for p, b in enumerate(sequence.blocks)
            ):
                raise Violation(f"{id} is lent, and its blocks hold something else")

    def lose(self, router: MemberId) -> list[Message]:
        """A router is gone, and with it its calls."""
        ids = [id for id, sequence in self.sequences.items() if sequence.router == router]
        return [message for id in ids for message in self._perform(self.lender.cancel(id))]

    def _run(self, run: Run, router: MemberId, now: float) -> list[Message]:
        try:
            actions = self.lender.open(run.attempt.id, now, run.remaining_s)
        except StaleAttempt:
            return []
        self.sequences[run.attempt.id] = Sequence(run.attempt, run.lend, router)
        self.waiting.append(run.attempt.id)
        sent = self._perform(actions)
        self._admit()
        return sent

    def _admit(self) -> None:
        while self.waiting:
            sequence = self.sequences[self.waiting[0]]
            blocks = self.pool.allocate(-(-len(sequence.attempt.token_ids) // self.truth.block_tokens))
            if blocks is None:
                return
            sequence.blocks = blocks
            self.waiting.pop(0)

    def _complete(self, sequence: Sequence, now: float) -> list[Message]:
        id = sequence.attempt.id
        contents = tuple(self.memory[block] for block in sequence.blocks)
        output = sequence.attempt.token_ids[sequence.attempt.num_prompt_tokens :]
        tokens = tuple(self.truth.token(sequence.attempt, contents, c, output) for c in sequence.attempt.fresh_choices)
        sent = [self._say(sequence.router, FirstTokens(id, tokens, 0.0))] if tokens else []
        if not sequence.lend:
            return sent + self._perform(self.lender.nothing_lent(id))
        refs = tuple(self._ref(block) for block in sequence.blocks)
        manifest = Manifest(id, self.truth.layout, len(sequence.attempt.token_ids), refs, tokens)
        if self.lender.seal(manifest, now):
            self.pool.seal(sequence.blocks)
            sequence.sealed = True
            sent.append(self._say(sequence.router, Lent(id)))
            if sequence.follower is not None:
                sent.append(self._say(sequence.follower, Sealed(manifest)))
        return sent

    def _follow(self, id: AttemptId, num_skip_blocks: int, follower: MemberId) -> list[Message]:
        loan = self.lender.loan(id)
        if loan is None:
            return [self._say(follower, Refusal(id))]
        self.sequences[id].follower = follower
        if loan.manifest is not None:
            return [self._say(follower, Sealed(loan.manifest))]
        refs = tuple(loan.refs[num_skip_blocks:])
        return [self._say(follower, BlocksReady(id, num_skip_blocks, refs))] if refs else []

    def _perform(self, actions: Iterable[LenderAction]) -> list[Message]:
        sent: list[Message] = []
        for action in actions:
            sequence = self.sequences[action.id]
            match action:
                case Free(id):
                    self._free(id, sequence)
                case Closed(id, end):
                    del self.sequences[id]
                    sent.append(self._say(sequence.router, action))
                    if sequence.follower is not None and end is not LoanEnd.RELEASED:
                        sent.append(self._say(sequence.follower, Refusal(id)))
        self._admit()
        return sent

    def _free(self, id: AttemptId, sequence: Sequence) -> None:
        if id in self.waiting:
            self.waiting.remove(id)
        if sequence.sealed:
            self.pool.unseal(sequence.blocks)
        self.pool.release(sequence.blocks)
        for block in sequence.blocks:
            self.memory[block] = None

    def _ref(self, block: int) -> BlockRef:
        return BlockRef(block, self.pool.generation(block), self.truth.checksum(self.memory[block]))

    def _say(self, target: MemberId, body: object) -> Message:
        return Message(self.me, target, body)  # type: ignore[arg-type]
