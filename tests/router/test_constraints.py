"""Constraints tried before admission: off the event loop, once for many, bounded, and named when refused."""

import asyncio
import threading
from pathlib import Path

import grpc
import pytest

from baton.v1 import types_pb2
from common.net.convert_sampling import constraint_to_proto
from common.text.compiler import Compiler
from common.types.constraint import Constraint
from common.types.errors import InvalidRequest, Overloaded
from router import constraints as under_test
from router.constraints import ConstraintCheck
from tests.constrained import END, WIDTH, tokenizer
from tests.router.rig import next_of, rig
from tests.router.test_refusals import fields, refused

GOOD, BAD = Constraint.regex("a+"), Constraint.regex("(a")


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Constraint, str]]:
    """Which constraints were compiled, and on which thread."""
    seen: list[tuple[Constraint, str]] = []
    check = Compiler.check

    def note(self: Compiler, constraint: Constraint) -> None:
        seen.append((constraint, threading.current_thread().name))
        check(self, constraint)

    monkeypatch.setattr(Compiler, "check", note)
    return seen


def make() -> ConstraintCheck:
    return ConstraintCheck(tokenizer(), WIDTH, (END,))


async def test_each_is_tried_once_and_away_from_the_loop(tried: list[tuple[Constraint, str]]) -> None:
    check = make()
    assert await check.refusal(None) is None
    found = await asyncio.gather(*(check.refusal(constraint) for constraint in (GOOD, BAD, GOOD, BAD, GOOD)))
    assert [isinstance(refusal, InvalidRequest) for refusal in found] == [False, True, False, True, False]
    assert await check.refusal(GOOD) is None
    assert await check.refusal(BAD) is found[1]
    assert sorted(constraint.source for constraint, _ in tried) == ["(a", "a+"]
    assert all(name.startswith("constraints") for _, name in tried)
    check.close()


async def test_a_model_without_an_end_refuses_every_constraint_but_serves_the_free() -> None:
    check = ConstraintCheck(tokenizer(), WIDTH, ())
    refusal = await check.refusal(GOOD)
    assert "names no token that ends an answer" in str(refusal)
    assert await check.refusal(None) is None
    check.close()


async def test_too_many_at_once_are_told_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    may_go = threading.Event()
    monkeypatch.setattr(under_test, "MAX_UNDER_WAY", 2)
    monkeypatch.setattr(Compiler, "check", lambda self, constraint: may_go.wait(20) and None)
    check = make()
    waiting = [asyncio.ensure_future(check.refusal(Constraint.regex(letter))) for letter in "ab"]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="too many constraints"):
        await check.refusal(GOOD)
    with monkeypatch.context() as patch:
        patch.setattr(under_test, "PATIENCE_S", 0.0)
        with pytest.raises(Overloaded, match="takes too long now"):
            await check.refusal(Constraint.regex("a"))
    may_go.set()
    assert await asyncio.gather(*waiting) == [None, None]
    assert await check.refusal(GOOD) is None
    check.close()


async def test_a_caller_who_leaves_does_not_take_the_answer_along(tried: list[tuple[Constraint, str]]) -> None:
    check = make()
    leaving, staying = (asyncio.ensure_future(check.refusal(GOOD)) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying is None
    assert await check.refusal(GOOD) is None
    assert len(tried) == 1
    check.close()


async def test_a_bug_is_every_callers_and_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Compiler, constraint: Constraint) -> None:
        raise RuntimeError("a bug")

    check = make()
    with monkeypatch.context() as patch:
        patch.setattr(Compiler, "check", broken)
        with pytest.raises(RuntimeError):
            await check.refusal(GOOD)
    assert await check.refusal(GOOD) is None
    check.close()


async def test_a_refused_constraint_is_named_with_all_else_that_is_wrong(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        prefill, _ = await fleet.prefill(), await fleet.decode()
        cases = [
            constraint_to_proto(BAD),
            constraint_to_proto(Constraint.json_schema({"not": {}})),
            types_pb2.Constraint(source="a"),
            types_pb2.Constraint(kind=types_pb2.CONSTRAINT_KIND_REGEX, source="a" * (1 << 18)),
        ]
        for constraint in cases:
            error = await refused(fleet, text="hello", constraint=constraint)
            assert fields(error) == ["constraint"]
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert fields(await refused(fleet, text="hello", constraint=cases[0], n=99)) == ["constraint", "n"]
        assert prefill.service.requests == []


async def test_an_accepted_constraint_rides_to_the_workers(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        prefill, _ = await fleet.prefill(), await fleet.decode()
        call = fleet.generate("hello", constraint=constraint_to_proto(GOOD))
        assert (await next_of(call)).WhichOneof("event") == "accepted"
        while (response := await call.read()) is not grpc.aio.EOF:
            assert response is not None
        (request,) = prefill.service.requests
        assert request.attempt.sampling.constraint == constraint_to_proto(GOOD)
