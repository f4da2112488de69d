"""Answers as a client sees them when nothing goes wrong."""

from pathlib import Path

import pytest

from baton.v1 import inference_pb2, types_pb2
from tests.router.fake_workers import A
from tests.router.rig import Reply, Rig, next_of, read, rig

STOP, LENGTH = types_pb2.FINISH_REASON_STOP, types_pb2.FINISH_REASON_LENGTH


async def pair(fleet: Rig) -> None:
    await fleet.prefill()
    await fleet.decode()


async def test_a_request_takes_both_legs(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        prefill, decode = await fleet.prefill(), await fleet.decode()
        reply = await fleet.reply("hello", max_tokens=5)
        assert reply.accepted is not None
        assert (reply.accepted.model, reply.accepted.num_prompt_tokens) == ("tiny", 5)
        assert reply.accepted.request_id.startswith("r-")
        assert (reply.texts, reply.finishes) == ({0: "abcde"}, {0: LENGTH})
        assert reply.tokens == {0: [A, A + 1, A + 2, A + 3, A + 4]}
        (run,), (attach,) = prefill.service.requests, decode.service.attaches
        assert run.lend
        assert (attach.source.member, attach.source.epoch) == ("p0", 1)
        assert run.attempt == attach.attempt
        assert run.attempt.id.number == 1
        assert 0 < attach.remaining_ms <= run.remaining_ms < 21_000


async def test_the_first_token_does_not_wait_for_decode(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        await fleet.prefill()
        decode = await fleet.decode()
        decode.script.hold("joined")
        call = fleet.generate(max_tokens=4)
        assert (await next_of(call)).WhichOneof("event") == "accepted"
        delta = (await next_of(call)).delta
        assert (delta.text, list(delta.token_ids)) == ("a", [A])
        decode.script.release("joined")
        reply = await read(call)
        assert reply.texts == {0: "bcd"}, "decode says the first token again; it is not delivered twice"


async def test_the_last_message_counts_and_times(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        await pair(fleet)
        reply = await fleet.reply("hello", max_tokens=5, n=2, explain=True)
        assert reply.done is not None
        usage, timings = reply.done.usage, reply.done.timings
        assert (usage.num_prompt_tokens, usage.num_cached_tokens, usage.num_output_tokens) == (5, 2, 10)
        assert reply.done.num_attempts == 1
        parts = timings.queue_ms + timings.prefill_ms + timings.handoff_ms + timings.decode_ms
        assert timings.ttft_ms <= parts <= timings.total_ms
        assert [why.decision for why in reply.done.explanations] == ["mode", "prefill", "decode"]
        assert [why.chosen for why in reply.done.explanations] == ["hand-off", "p0", "d0"]
        assert not (await fleet.reply("hello")).done.explanations  # type: ignore[union-attr]


async def test_choices_differ_and_each_ends_once(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        await pair(fleet)
        reply = await fleet.reply(n=3, max_tokens=4)
        assert reply.texts == {0: "abcd", 1: "defg", 2: "ghij"}
        assert reply.finishes == {0: LENGTH, 1: LENGTH, 2: LENGTH}


async def test_a_stop_string_ends_one_choice_and_is_no_part_of_it(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        await fleet.prefill()
        decode = await fleet.decode()
        decode.script.hold("token 5")
        call = fleet.generate(n=2, max_tokens=8, stop=["fgh", "never"])
        reply = Reply()
        while 1 not in reply.finishes:
            reply.add(await next_of(call))
        await decode.script.saw("cancelled choice")
        assert decode.service.cancelled_choices == [1]
        assert reply.texts[1] == "de"
        decode.script.release("token 5")
        await read(call, reply)
        assert (reply.texts, reply.finishes) == ({0: "abcde", 1: "de"}, {0: STOP, 1: STOP})
        assert [len(reply.tokens[choice]) for choice in (0, 1)] == [8, 5]


async def test_text_that_may_begin_a_stop_string_comes_later_or_at_the_end(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        await pair(fleet)
        assert (await fleet.reply(max_tokens=4, stop=["cdx"])).texts == {0: "abcd"}
        assert (await fleet.reply(max_tokens=4, stop=["cdef"])).texts == {0: "abcd"}
        assert (await fleet.reply(max_tokens=4, stop=["a"])).texts == {0: ""}
        early = await fleet.reply(max_tokens=6, min_tokens=3, stop=["b", "e"])
        assert early.texts == {0: "abcd"}


async def test_a_stop_token_ends_the_answer_and_is_no_text(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        await pair(fleet)
        reply = await fleet.reply(max_tokens=9, stop_token_ids=[A + 3])
        assert (reply.texts, reply.finishes) == ({0: "abc"}, {0: STOP})
        assert reply.tokens == {0: [A, A + 1, A + 2, A + 3]}


async def test_a_single_token_needs_no_decode_leg(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        prefill, decode = await fleet.prefill(), await fleet.decode()
        assert (await fleet.reply(max_tokens=1, n=2)).texts == {0: "a", 1: "d"}
        assert not prefill.service.requests[0].lend
        assert decode.service.attaches == []


async def test_without_a_prefill_pool_decode_prefills(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        decode = await fleet.decode()
        reply = await fleet.reply(max_tokens=4, explain=True)
        assert reply.texts == {0: "abcd"}
        assert not decode.service.attaches[0].HasField("source")
        assert reply.done is not None
        assert reply.done.explanations[0].chosen == "local prefill"
        assert reply.done.timings.handoff_ms == 0


async def test_log_probabilities_come_one_per_token(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        await pair(fleet)
        reply = await fleet.reply("hello", max_tokens=4, logprobs=2, prompt_logprobs=0)
        assert [entry.token_id for entry in reply.logprobs[0]] == reply.tokens[0]
        assert [len(entry.top) for entry in reply.logprobs[0]] == [2, 2, 2, 2]
        assert len(reply.scores) == 4


async def test_an_answer_is_not_complete_without_its_scores(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        prefill, _ = await fleet.prefill(), await fleet.decode()
        prefill.service.scores_late = True
        reply = await fleet.reply("hello", max_tokens=1, prompt_logprobs=0)
        assert (reply.texts, len(reply.scores)) == ({0: "a"}, 4)


async def test_all_three_forms_of_a_prompt(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        prefill, _ = await fleet.prefill(), await fleet.decode()
        await fleet.reply("hi", max_tokens=2)
        tokens = inference_pb2.GenerateRequest(tokens=types_pb2.TokenIds(ids=[A, A + 1]), max_tokens=2)
        await read(fleet.inference.Generate(tokens))
        chat = inference_pb2.Chat(messages=[inference_pb2.ChatMessage(role="user", content="hi")])
        await read(fleet.inference.Generate(inference_pb2.GenerateRequest(chat=chat, max_tokens=2)))
        decode_text = fleet.router.serving.model.tokenizer.decode
        sent = [decode_text(list(run.attempt.token_ids)) for run in prefill.service.requests]
        assert sent == ["hi", "ab", "[user]hi[assistant]"]


async def test_an_absent_seed_is_drawn_once_and_differs(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        prefill, decode = await fleet.prefill(), await fleet.decode()
        await fleet.reply(max_tokens=2, sampling={})
        await fleet.reply(max_tokens=2, sampling={})
        seeds = [run.attempt.sampling.seed for run in prefill.service.requests]
        assert [attach.attempt.sampling.seed for attach in decode.service.attaches] == seeds
        assert seeds[0] != seeds[1]


async def test_many_requests_share_one_session(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        await fleet.prefill()
        decode = await fleet.decode()
        calls = [fleet.generate(max_tokens=40, sampling={"seed": seed}) for seed in range(12)]
        for seed, call in enumerate(calls):
            reply = await read(call)
            assert reply.texts[0] == "".join(chr(97 + (index + seed) % 26) for index in range(40))
        assert decode.service.num_sessions == 1
        assert decode.service.num_frames > 64, "credits were given back"


async def test_tokenize_and_back(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        ids = (await fleet.inference.Tokenize(inference_pb2.TokenizeRequest(text="abc"))).token_ids
        assert list(ids) == [A, A + 1, A + 2]
        long = await fleet.inference.Tokenize(inference_pb2.TokenizeRequest(text="a" * 9000, model="tiny"))
        assert (len(long.token_ids), long.max_model_tokens) == (9000, 512)
        text = (await fleet.inference.Detokenize(inference_pb2.DetokenizeRequest(token_ids=[A, 257, A + 1]))).text
        assert text == "a<|eos|>b"
        skipped = inference_pb2.DetokenizeRequest(token_ids=[A, 257, A + 1], skip_special_tokens=True)
        assert (await fleet.inference.Detokenize(skipped)).text == "ab"


async def test_the_model_list_says_what_is_ready(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        (model,) = (await fleet.inference.ListModels(inference_pb2.ListModelsRequest())).models
        assert (model.id, model.vocab_size, model.architecture, model.ready) == ("tiny", 258, "LlamaForCausalLM", False)
        await fleet.decode(max_model_tokens=300)
        (model,) = (await fleet.inference.ListModels(inference_pb2.ListModelsRequest())).models
        assert (model.max_model_tokens, model.ready) == (300, True)


@pytest.mark.parametrize("deadline", [None, 5.0])
async def test_a_client_without_a_deadline_gets_the_default(tmp_path: Path, deadline: float | None) -> None:
    async with rig(tmp_path, default_deadline_s=50.0) as fleet:
        prefill, _ = await fleet.prefill(), await fleet.decode()
        await read(fleet.generate(timeout=deadline, max_tokens=2))
        remaining_s = prefill.service.requests[0].remaining_ms / 1000
        assert abs(remaining_s - (deadline or 50.0)) < 4
