"""Commands on their way to the engine: held while their attempt's constraint compiles, in order, and nobody else's."""

import threading
from queue import Queue

from common.engine.gate import Gate
from common.engine.messages import Command, Drop, Event, Join, Quarantine, Refused, Reserve, Submit, SubmitLocal
from common.text.compiler import Compiler
from common.types.constraint import Constraint
from common.types.errors import InvalidRequest
from common.types.sampling import Sampling
from tests.constrained import vocabulary
from tests.engine.attempts import attempt

WAIT_S = 30.0  # only ever reached by a test that fails


class SlowCompiler(Compiler):
    """Compiles when it is told to."""

    def __init__(self) -> None:
        super().__init__(vocabulary())
        self.may_go = threading.Event()

    def compile(self, constraint: Constraint) -> object:  # type: ignore[override]
        self.may_go.wait(WAIT_S)
        return super().compile(constraint)


class Bench:
    """A gate with both its ends in hand."""

    def __init__(self, compiler: Compiler | None) -> None:
        self.posted: Queue[Command] = Queue()
        self.events: Queue[Event] = Queue()
        self.crashes: list[BaseException] = []
        self.gate = Gate(self.posted.put, compiler, self.hear, self.crashes.append)

    def hear(self, events: tuple[Event, ...]) -> None:
        for event in events:
            self.events.put(event)

    def next(self) -> Command:
        return self.posted.get(timeout=WAIT_S)


def asked(name: str, expression: str = "a+") -> Submit:
    return Submit(attempt(name, (1, 2), sampling=Sampling(constraint=Constraint.regex(expression))), lend=True)


def test_a_free_attempt_passes_at_once() -> None:
    bench = Bench(None)
    free = Submit(attempt("a", (1,)), lend=True)
    for command in (free, Reserve(free.attempt), SubmitLocal(free.attempt), Drop(free.attempt.id)):
        bench.gate.post(command)
        assert bench.posted.get_nowait() is command


def test_commands_of_an_attempt_keep_their_order_and_others_do_not_wait() -> None:
    compiler = SlowCompiler()
    bench = Bench(compiler)
    submit, free = asked("held"), Submit(attempt("free", (1,)), lend=False)
    later: list[Command] = [Drop(submit.attempt.id, (0,)), Quarantine(submit.attempt.id), Join(submit.attempt.id, ())]
    bench.gate.post(submit)
    for command in later:
        bench.gate.post(command)
    bench.gate.post(free)
    assert bench.next() is free
    assert bench.posted.empty()
    compiler.may_go.set()
    assert [bench.next() for _ in range(4)] == [submit, *later]
    bench.gate.post(asked("known"))
    assert bench.posted.get_nowait() == asked("known")
    bench.gate.close()


def test_what_does_not_compile_refuses_its_attempt_alone() -> None:
    bench = Bench(Compiler(vocabulary()))
    bad = asked("bad", "(a")
    bench.gate.post(bad)
    bench.gate.post(Drop(bad.attempt.id, (0,)))
    refused = bench.events.get(timeout=WAIT_S)
    assert isinstance(refused, Refused)
    assert refused.id == bad.attempt.id
    assert isinstance(refused.error, InvalidRequest)
    good = asked("good")
    bench.gate.post(good)
    assert next(command for command in iter(bench.next, None) if isinstance(command, Submit)) is good
    bench.gate.close()


def test_a_worker_that_cannot_enforce_says_so() -> None:
    bench = Bench(None)
    bench.gate.post(asked("a"))
    refused = bench.events.get(timeout=WAIT_S)
    assert isinstance(refused, Refused)
    assert "cannot be enforced by this worker" in str(refused.error)
    bench.gate.close()


def test_a_bug_ends_the_worker() -> None:
    bench = Bench(Compiler(vocabulary()))

    class Broken(Compiler):
        def begin(self, constraint: Constraint) -> object:  # type: ignore[override]
            raise RuntimeError("a bug")

    bench = Bench(Broken(vocabulary()))
    bench.gate.post(asked("a"))
    bench.gate._compiling.shutdown(wait=True)
    assert [str(crash) for crash in bench.crashes] == ["a bug"]
