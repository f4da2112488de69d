"""The gRPC client against a real server in this process."""

import asyncio

import pytest

from baton.client import Unreachable
from common.types.errors import Cancelled, Overloaded
from loadtest.bench.grpc_target import GrpcTarget
from loadtest.bench.record import Planned, Record
from loadtest.bench.target import Asking, Served
from tests.bench.records import until
from tests.client.router import ScriptedInference, accepted, delta, done, serving

PLANNED = Planned(0, 0.0, (7, 8), 2, 4)


async def sent(target: GrpcTarget, planned: Planned = PLANNED) -> Record:
    record = Record(0.0, planned.num_input)
    await target.send(planned, record)
    return record


async def test_an_answer_is_noted_message_by_message() -> None:
    inference = ScriptedInference()
    inference.scripts.append([accepted(), delta("a"), delta("b"), done(2)])
    async with serving(inference) as address:
        target = GrpcTarget(address, Asking(model_id="m", texts=True, seed=5))
        record = await sent(target)
        await target.close()
    assert record.ok
    assert (len(record.arrivals), record.num_output, record.text) == (2, 2, "ab")
    assert record.start_s < record.arrivals[0] < record.arrivals[1] <= record.end_s
    (request,) = inference.requests
    assert (list(request.tokens.ids), request.max_tokens, request.ignore_eos) == ([7, 8], 4, True)
    assert (request.model, request.sampling.temperature, request.sampling.seed) == ("m", 0.0, 5)


async def test_text_goes_as_text() -> None:
    inference = ScriptedInference()
    inference.scripts.append([accepted(), delta("a"), done(1)])
    async with serving(inference) as address:
        target = GrpcTarget(address, Asking())
        await sent(target, Planned(0, 0.0, "hello", 1, 4))
        await target.close()
    assert inference.requests[0].text == "hello"


async def test_failures_have_kinds() -> None:
    inference = ScriptedInference()
    inference.scripts += [
        [Overloaded("full", 5)],
        [accepted(), delta("a"), ZeroDivisionError()],
        [accepted(), delta("a")],
    ]
    async with serving(inference) as address:
        target = GrpcTarget(address, Asking())
        records = [await sent(target) for _ in range(3)]
        await target.close()
    assert [record.error for record in records] == ["RESOURCE_EXHAUSTED", "INTERNAL", "ended early"]
    assert not any(record.ok for record in records)
    assert len(records[1].arrivals) == 1


async def test_a_deadline_and_a_server_that_cancels() -> None:
    async def hold(context: object) -> None:
        await asyncio.Event().wait()

    inference = ScriptedInference()
    inference.scripts += [[accepted(), hold], [accepted(), Cancelled("gone")]]
    async with serving(inference) as address:
        target = GrpcTarget(address, Asking(deadline_s=1.5))
        assert (await sent(target)).error == "DEADLINE_EXCEEDED"
        assert (await sent(target)).error == "CANCELLED"
        await target.close()


async def test_leaving_is_an_interruption_and_ends_the_call() -> None:
    async def hold(context: object) -> None:
        await asyncio.Event().wait()

    inference = ScriptedInference()
    inference.scripts.append([accepted(), delta("a"), hold])
    async with serving(inference) as address:
        target = GrpcTarget(address, Asking())
        record = Record(0.0, 2)
        sending = asyncio.create_task(target.send(PLANNED, record))
        await until(lambda: bool(record.arrivals))
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await asyncio.wait_for(inference.ended.wait(), 5)
        await target.close()
    assert record.error == "interrupted"


async def test_the_servers_model() -> None:
    async with serving(ScriptedInference()) as address:
        target = GrpcTarget(address, Asking())
        assert await target.served() == Served("m", 9)
        await target.close()


async def test_nobody_there() -> None:
    async with serving(ScriptedInference()) as address:
        pass
    target = GrpcTarget(address, Asking())
    assert (await sent(target)).error == "UNAVAILABLE"
    with pytest.raises(Unreachable):
        await target.served()
    await target.close()
