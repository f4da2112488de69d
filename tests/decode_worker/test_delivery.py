"""Tokens of a stretch arrive where, and as, those of single steps do; whoever left in between gets none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

import pytest

from common.engine.messages import Command, Joined, MoreTokens, Started, StepTokens, SubmitLocal
from common.net.convert_step import step_frame_to_proto, step_rows_from_proto
from common.obs.traces import Leg
from common.types.attempt import Attempt, Choice
from common.types.frame import Frame
from common.types.ids import AttemptId
from common.types.kv import KVLayout
from common.types.sampling import FinishReason, SampledToken, Sampling
from common.types.timeouts import Timeouts
from decode_worker.decoding import Decoding
from decode_worker.session import RouterSession

Row = tuple[int, SampledToken]
LAYOUT = KVLayout("f", 1, 1, 16, 64, "bfloat16")


@dataclass
class Counts:
    """Stands where spans go: how many tokens each attempt is said to have been sent."""

    sent: dict[str, int] = field(default_factory=dict)
    traceparent = ""

    def begin(self, name: str, parent: str = "") -> "Counts":
        return self

    def end(self, facts: Mapping[str, object], *, failed: str = "", legs: Sequence[Leg] = ()) -> None:
        self.sent[str(facts["request"])] = int(str(facts["output_tokens"]))

    def close(self) -> None:
        """Nothing is kept back."""


class Worker:
    """A worker's deliveries without an engine, and the sessions they go over."""

    def __init__(self, num_sessions: int = 1) -> None:
        self.counts = Counts()
        self.decoding = Decoding(self._take, None, LAYOUT, Timeouts(), lambda: None, self.counts)  # type: ignore[arg-type]
        self.sessions = [RouterSession(number, 1 << 30, 10.0) for number in range(num_sessions)]
        for session in self.sessions:
            self.decoding.open(session)
        self._begun: list[AttemptId] = []

    def _take(self, command: Command) -> None:
        if isinstance(command, SubmitLocal):
            self._begun.append(command.attempt.id)

    def attach(self, name: str, stream: int, session: int = 0, num_choices: int = 1) -> AttemptId:
        choices = tuple(Choice(index) for index in range(num_choices))
        attempt = Attempt(AttemptId(name, 1), (1, 2, 3), 3, choices, Sampling(temperature=0.0, max_tokens=99))
        self.decoding.attach(self.sessions[session], stream, attempt, None, 60.0)
        for id in self._begun:
            self.decoding.on_events((Started(id, 0, 0.0), Joined(id)))
        self._begun.clear()
        return attempt.id

    async def rows(self, session: int = 0) -> list[Row]:
        """All that this router would have been told by now, as it reads it."""
        self.sessions[session].finish("enough")
        rows: list[Row] = []
        while self.sessions[session]._outgoing:
            message = await self.sessions[session].next()
            if isinstance(message, Frame):
                rows += step_rows_from_proto(step_frame_to_proto(message))
        return rows


def token(index: int, choice: int = 0, finish: FinishReason | None = None) -> SampledToken:
    return SampledToken(choice, index, 100 + index, finish=finish)


async def test_steps_of_a_stretch_count_on() -> None:
    worker = Worker()
    ids = (worker.attach("a", 1), worker.attach("b", 2))
    for step in range(3):
        worker.decoding.on_events((MoreTokens(ids, (0, 0), (0, 4), step, [100 + step, 104 + step]),))
    assert await worker.rows() == [row for step in range(3) for row in ((1, token(step)), (2, token(4 + step)))]


async def test_each_router_is_told_of_its_own() -> None:
    worker = Worker(num_sessions=2)
    ids = (worker.attach("a", 1), worker.attach("b", 1, session=1), worker.attach("c", 2))
    worker.decoding.on_events((MoreTokens(ids, (0, 0, 0), (0, 0, 0), 7, [107, 107, 107]),))
    assert await worker.rows(0) == [(1, token(7)), (2, token(7))]
    assert await worker.rows(1) == [(1, token(7))]


async def test_whoever_left_within_a_stretch_is_told_no_more() -> None:
    worker = Worker()
    ids = (worker.attach("a", 1), worker.attach("b", 2))
    for step in range(4):
        if step == 2:
            worker.decoding.cancel(ids[0])
        worker.decoding.on_events((MoreTokens(ids, (0, 0), (0, 0), step, [100 + step] * 2),))
    assert [stream for stream, _ in await worker.rows()] == [1, 2, 1, 2, 2, 2]
    assert worker.counts.sent == {"a": 2}


async def test_a_choice_that_is_not_wanted_any_more_is_left_out() -> None:
    worker = Worker()
    id = worker.attach("a", 1, num_choices=2)
    for step in range(2):
        worker.decoding.on_events((MoreTokens((id, id), (0, 1), (0, 0), step, [100 + step] * 2),))
        worker.decoding.cancel(id, (0,))
    assert await worker.rows() == [(1, token(0)), (1, token(0, 1)), (1, token(1, 1))]


async def test_a_session_that_ended_takes_no_rows() -> None:
    worker = Worker(num_sessions=2)
    ids = (worker.attach("a", 1), worker.attach("b", 1, session=1))
    worker.decoding.on_events((MoreTokens(ids, (0, 0), (0, 0), 0, [100, 100]),))
    worker.decoding.close(worker.sessions[0])
    worker.decoding.on_events((MoreTokens(ids, (0, 0), (0, 0), 1, [101, 101]),))
    assert await worker.rows(0) == [(1, token(0))]
    assert await worker.rows(1) == [(1, token(0)), (1, token(1))]


async def test_an_attempt_that_is_attached_twice_is_served_once() -> None:
    worker = Worker()
    ids = (worker.attach("a", 1),)
    worker.decoding.on_events((MoreTokens(ids, (0,), (0,), 0, [100]),))
    worker.attach("a", 2)
    worker.decoding.on_events((MoreTokens(ids, (0,), (0,), 1, [101]),))
    assert await worker.rows() == [(1, token(0)), (1, token(1))]
    assert worker.counts.sent == {}


class Truth:
    """The same worker, told of every step token by token."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.fast, self.slow = Worker(num_sessions=2), Worker(num_sessions=2)
        self.running: dict[AttemptId, dict[int, int]] = {}
        self.stretch: tuple[tuple[AttemptId, ...], tuple[int, ...], tuple[int, ...]] | None = None
        self.num_steps = 0

    def attach(self, number: int) -> None:
        session, num_choices = self.random.randrange(2), self.random.choice((1, 1, 2))
        for worker in (self.fast, self.slow):
            id = worker.attach(f"r{number}", number, session, num_choices)
        self.running[id] = dict.fromkeys(range(num_choices), 0)
        self.stretch = None

    def leave(self) -> None:
        """The engine hears of it some steps later: its stretch goes on with rows that nobody wants."""
        id = self.random.choice(list(self.running))
        choices = (0,) if self.random.random() < 0.3 else ()
        for worker in (self.fast, self.slow):
            worker.decoding.cancel(id, choices)

    def step(self) -> None:
        rows = [(id, choice, index) for id, choices in self.running.items() for choice, index in choices.items()]
        if not rows:
            return
        ends = [self.random.random() < 0.02 for _ in rows]
        plain = self.random.random() < 0.8 and not any(ends)
        tokens = [
            token(index, choice, FinishReason.STOP if end else None)
            for (_, choice, index), end in zip(rows, ends, strict=True)
        ]
        whole = StepTokens(tuple((id, token) for (id, _, _), token in zip(rows, tokens, strict=True)))
        self.slow.decoding.on_events((whole,))
        if plain:
            if self.stretch is None:
                ids, choices, indices = zip(*rows, strict=True)
                self.stretch, self.num_steps = (ids, choices, indices), 0
            more = MoreTokens(*self.stretch, self.num_steps, [token.token_id for token in tokens])
            self.fast.decoding.on_events((more,))
            self.num_steps += 1
        else:
            self.fast.decoding.on_events((whole,))
            self.stretch = None
        for (id, choice, _), end in zip(rows, ends, strict=True):
            self.running[id][choice] += 1
            if end:
                del self.running[id][choice]
        self.running = {id: choices for id, choices in self.running.items() if choices}


@pytest.mark.parametrize("seed", range(40))
async def test_any_mixture_tells_what_single_steps_would(seed: int) -> None:
    truth = Truth(Random(seed))
    for number in range(1, 200):
        draw = truth.random.random()
        if draw < 0.12:
            truth.attach(number)
        elif draw < 0.18 and truth.running:
            truth.leave()
        else:
            truth.step()
    for worker in (truth.fast, truth.slow):
        for session in worker.sessions:
            worker.decoding.close(session)
    for place in range(2):
        rows = await truth.slow.rows(place)
        assert rows == await truth.fast.rows(place)
        assert len(rows) > 50
    assert truth.fast.counts.sent == truth.slow.counts.sent
