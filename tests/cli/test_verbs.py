"""The verbs that talk to a router, as processes."""

import asyncio
import signal
from pathlib import Path

from baton.v1 import inference_pb2, types_pb2
from common.types.errors import Overloaded, Unavailable
from common.types.sampling import FinishReason
from tests.cli.command import baton, begin
from tests.client.router import ScriptedFleet, ScriptedInference, accepted, delta, done, serving


async def test_generate_prints_the_answer_and_then_where_the_time_went() -> None:
    inference = ScriptedInference()
    inference.scripts = [[accepted(), delta("Hel"), delta("lo", finish=FinishReason.STOP), done()]]
    async with serving(inference) as target:
        ran = await baton("generate", "say hello", "--grpc", target, "--seed", "5", "--explain", "--stop", "a,b")
    assert (ran.code, ran.out) == (0, "Hello\n")
    assert "first token 1.5 ms" in ran.err
    assert "3 tokens in (1 cached), 2 out" in ran.err
    assert "prefill: prefill-0 (prefill-0: idle)" in ran.err
    (request,) = inference.requests
    assert (request.text, request.sampling.seed, list(request.stop)) == ("say hello", 5, ["a", "b"])


async def test_generate_says_what_the_answer_must_look_like(tmp_path: Path) -> None:
    inference = ScriptedInference()
    inference.scripts = [[accepted(), done()], [accepted(), done()]]
    (tmp_path / "schema.json").write_text('{"type": "integer"}')
    async with serving(inference) as target:
        ran = await baton("generate", "hi", "--grpc", target, "--json-schema", f"@{tmp_path / 'schema.json'}")
        also = await baton("generate", "hi", "--grpc", target, "--choice", "red,green")
        both = await baton("generate", "hi", "--grpc", target, "--regex", "a+", "--json-object")
    assert (ran.code, also.code) == (0, 0)
    schema, choice = (request.constraint for request in inference.requests)
    assert (schema.kind, schema.source) == (types_pb2.CONSTRAINT_KIND_JSON_SCHEMA, '{"type": "integer"}')
    assert (choice.kind, choice.source) == (types_pb2.CONSTRAINT_KIND_CHOICE, '["red", "green"]')
    assert both.code == 2
    assert "--json-object and --regex each say what the answer must look like" in both.err


async def test_generate_reads_what_is_piped_in() -> None:
    inference = ScriptedInference()
    inference.scripts = [[accepted(), done()]]
    async with serving(inference) as target:
        ran = await baton("generate", "--grpc", target, text="from a pipe\n")
    assert ran.code == 0
    assert inference.requests[0].text == "from a pipe\n"


async def test_an_answer_that_breaks_off_ends_its_line_and_says_where_to_look() -> None:
    inference = ScriptedInference()
    inference.scripts = [[accepted(), delta("half"), Unavailable("every attempt was lost", "decode")]]
    async with serving(inference) as target:
        ran = await baton("generate", "hi", "--grpc", target)
    assert (ran.code, ran.out) == (1, "half\n")
    assert ran.err.startswith("baton generate: every attempt was lost. ")
    assert "see `baton pool`" in ran.err


async def test_chat_remembers_and_survives_a_failure() -> None:
    inference = ScriptedInference()
    inference.scripts = [
        [accepted(), delta("one", finish=FinishReason.STOP), done()],
        [Overloaded("full", 3_600_000)],
        [accepted(), delta("two", finish=FinishReason.STOP), done()],
    ]
    async with serving(inference) as target:
        ran = await baton("chat", "--grpc", target, "--system", "be brief", text="first\nlost\n\nsecond\n")
    assert ran.code == 0
    assert "one" in ran.out
    assert "two" in ran.out
    assert "full" in ran.err
    turns = [(turn.role, turn.content) for turn in inference.requests[-1].chat.messages]
    assert turns == [("system", "be brief"), ("user", "first"), ("assistant", "one"), ("user", "second")]


async def test_ctrl_c_ends_the_answer_and_not_the_conversation() -> None:
    async def never(context: object) -> None:
        await asyncio.Event().wait()

    inference = ScriptedInference()
    inference.scripts = [
        [accepted(), delta("half"), never],
        [accepted(), delta("whole", finish=FinishReason.STOP), done()],
    ]
    async with serving(inference) as target:
        process = await begin("chat", "--grpc", target)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"first\n")
        assert await process.stdout.readexactly(4) == b"half"
        process.send_signal(signal.SIGINT)
        await inference.ended.wait()
        out, err = await process.communicate(b"second\n")
    assert b"whole" in out
    assert b"(ended)" in err
    turns = [(turn.role, turn.content) for turn in inference.requests[-1].chat.messages]
    assert turns == [("user", "first"), ("assistant", "half"), ("user", "second")]


async def test_a_new_conversation_begins_with_the_system_message_alone() -> None:
    inference = ScriptedInference()
    inference.scripts = [[accepted(), delta("one", finish=FinishReason.STOP), done()] for _ in range(2)]
    async with serving(inference) as target:
        ran = await baton("chat", "--grpc", target, "--system", "be brief", text="first\n/new\nsecond\n")
    assert ran.err.count("first token 1.5 ms") == 2
    turns = [(turn.role, turn.content) for turn in inference.requests[-1].chat.messages]
    assert turns == [("system", "be brief"), ("user", "second")]


async def test_pool_lists_the_members() -> None:
    async with serving(fleet=ScriptedFleet()) as target:
        ran = await baton("pool", "--fleet", target)
    head, line = ran.out.splitlines()
    assert head.split()[:3] == ["member", "role", "state"]
    assert line.split()[:7] == ["decode-0", "decode", "up", "2", "2", "0", "60/64"]


async def test_pool_steers_a_member() -> None:
    scripted = ScriptedFleet()
    async with serving(fleet=scripted) as target:
        assert (await baton("pool", "drain", "decode-0", "--leave", "--fleet", target)).code == 0
        assert (await baton("pool", "resume", "decode-0", "--fleet", target)).code == 0
        unknown = await baton("pool", "drain", "decode-9", "--fleet", target)
    assert scripted.asked == [("drain", "decode-0", True), ("resume", "decode-0", False)]
    assert unknown.code == 1
    assert "'decode-9' is not known; known: decode-0" in unknown.err


async def test_failures_say_what_to_do() -> None:
    async with serving() as target:
        pass
    ran = await baton("pool", "--fleet", target)
    assert ran.code == 1
    assert "cannot be reached. Start a fleet with `baton up`" in ran.err


async def test_what_a_model_thinks_is_told_beside_the_answer_and_not_remembered() -> None:
    inference = ScriptedInference()
    thoughts = [inference_pb2.Part(reasoning=text) for text in ("let me ", "see")]
    thinking = [inference_pb2.GenerateResponse(delta=inference_pb2.Delta(parts=[each])) for each in thoughts]
    inference.scripts = [
        [accepted(), *thinking, delta("Yes."), delta("", finish=FinishReason.STOP), done()],
        [accepted(), delta("Really.", finish=FinishReason.STOP), done()],
    ]
    async with serving(inference) as target:
        ran = await baton("chat", "--grpc", target, text="well?\nreally?\n")
    assert (ran.code, ran.out.split("\n")[:2]) == (0, ["Yes.", "Really."])
    assert "let me see\n" in ran.err
    turns = [(turn.role, turn.content) for turn in inference.requests[-1].chat.messages]
    assert turns == [("user", "well?"), ("assistant", "Yes."), ("user", "really?")]
