"""Workers without a model: every token is a letter that follows from seed, choice and index alone.

They speak the real protocol over real sockets, and stop wherever a test's script holds them.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import grpc

from baton.v1 import decode_pb2, decode_pb2_grpc, prefill_pb2, prefill_pb2_grpc
from common.net.background import Background
from common.net.convert import attempt_from_proto, logprobs_to_proto, sampled_token_to_proto
from common.net.convert_step import step_frame_to_proto
from common.net.near_entry import NearEntry
from common.net.near_stream import NearStream, NearStreamEnded, Receive
from common.types.attempt import Attempt
from common.types.errors import BatonError
from common.types.frame import frame_of
from common.types.ids import AttemptId
from common.types.sampling import FinishReason, SampledToken, Sampling, TokenLogprobs
from tests.router.script import Script

LETTERS = 26
A = 64
"""The id of the letter a in the test's vocabulary."""
Context = grpc.aio.ServicerContext[Any, Any]


def token_id(sampling: Sampling, choice: int, index: int) -> int:
    return A + (index + 3 * choice + sampling.seed) % LETTERS


def sample(sampling: Sampling, choice: int, index: int) -> SampledToken:
    id = token_id(sampling, choice, index)
    logprobs = (
        None
        if sampling.logprobs is None
        else TokenLogprobs(id, -0.5, tuple((id, -0.5) for _ in range(sampling.logprobs)))
    )
    finish = None
    if id in sampling.stop_token_ids and index + 1 >= sampling.min_tokens:
        finish = FinishReason.STOP
    elif index + 1 >= sampling.max_tokens:
        finish = FinishReason.LENGTH
    return SampledToken(choice, index, id, logprobs, finish)


class FakePrefill(prefill_pb2_grpc.PrefillServicer):
    """Steps: run, started, scores, first, sealed, landed; marks `closed`, and `cancelled` when a call is over."""

    def __init__(self, epoch: int, script: Script) -> None:
        self.epoch, self.script = epoch, script
        self.requests: list[prefill_pb2.RunRequest] = []
        self.fail_with: BatonError | None = None
        self.wrong_first_token: int | None = None
        self.scores_late = False
        self._sealed: dict[AttemptId, asyncio.Event] = defaultdict(asyncio.Event)
        self._landed: dict[AttemptId, asyncio.Event] = defaultdict(asyncio.Event)

    async def fetch(self, id: AttemptId) -> None:
        """The fetcher's side: returns when all is sealed, and says that it has landed."""
        await self._sealed[id].wait()
        self._landed[id].set()

    async def Run(self, request: prefill_pb2.RunRequest, context: Context) -> AsyncIterator[prefill_pb2.RunResponse]:
        self.requests.append(request)
        attempt = attempt_from_proto(request.attempt)
        try:
            await self.script.reach("run")
            if self.fail_with is not None:
                raise self.fail_with
            await self.script.reach("started")
            yield _told(started=prefill_pb2.RunStarted(num_cached_tokens=2, queue_ms=1.5))
            scored = attempt.sampling.prompt_logprobs is not None
            if scored and not self.scores_late:
                await self.script.reach("scores")
                yield _told(prompt_logprobs=_scores(attempt))
            await self.script.reach("first")
            tokens = [sample(attempt.sampling, choice, attempt.next_index) for choice in attempt.fresh_choices]
            first = prefill_pb2.RunFirstTokens(tokens=[sampled_token_to_proto(token) for token in tokens])
            if self.wrong_first_token is not None and attempt.id.number == 1:
                first.tokens[0].token_id = self.wrong_first_token
            yield _told(first_tokens=first)
            if scored and self.scores_late:
                yield _told(prompt_logprobs=_scores(attempt))
            if not request.lend:
                closed = prefill_pb2.RunClosed(end=prefill_pb2.LOAN_END_NOTHING_LENT)
                yield _told(closed=closed)
                return
            await self.script.reach("sealed")
            yield _told(sealed=prefill_pb2.RunSealed(num_blocks=1))
            self._sealed[attempt.id].set()
            await self._landed[attempt.id].wait()
            await self.script.reach("landed")
            yield _told(closed=prefill_pb2.RunClosed(end=prefill_pb2.LOAN_END_RELEASED))
            self.script.mark("closed")
        finally:
            self.script.mark("cancelled")


class FakeDecode(decode_pb2_grpc.DecodeServicer):
    """Steps: attach, joined, `token N` before the step that makes the tokens of index N; marks `cancelled`."""

    def __init__(self, epoch: int, script: Script, lenders: dict[str, FakePrefill]) -> None:
        self.epoch, self.script, self.lenders = epoch, script, lenders
        self.attaches: list[decode_pb2.Attach] = []
        self.cancelled_choices: list[int] = []
        self.num_sessions = self.num_frames = self.num_called = 0
        """`num_called`: responses that went over a call, and not over a near stream."""
        self.entry: NearEntry | None = None
        self.offer: decode_pb2.NearOffer | None = None
        self.near: list[NearStream] = []
        self.fail_kind: decode_pb2.FailureKind | None = None
        self.lines: list[decode_pb2.SessionResponse] | None = None
        """Instead of an answer: the first at once, the others when an attempt has come; then the stream ends."""

    async def Session(
        self, request_iterator: AsyncIterator[decode_pb2.SessionRequest], context: Context
    ) -> AsyncIterator[decode_pb2.SessionResponse]:
        self.num_sessions += 1
        if self.lines is not None:
            for line in self.lines[:1]:
                yield line
            while self.lines and not (await anext(request_iterator)).HasField("attach"):
                continue
            for line in self.lines[1:]:
                yield line
            await self.script.reach("recited")
            return
        outgoing: asyncio.Queue[decode_pb2.SessionResponse] = asyncio.Queue()
        work = Background()
        session = _Session(self, outgoing, work)
        try:
            opened = decode_pb2.SessionOpened(epoch=self.epoch, near=self._near_offer(session))
            outgoing.put_nowait(decode_pb2.SessionResponse(opened=opened))
            work.spawn(session.read(request_iterator))
            while True:
                response = await outgoing.get()
                if response.HasField("step"):
                    await session.credit.acquire()
                    self.num_frames += 1
                if session.near is not None:
                    await session.near.write(response.SerializeToString())
                else:
                    self.num_called += 1
                    yield response
        except NearStreamEnded:
            return
        finally:
            self.script.mark("session ended")
            if session.near is not None:
                session.near.cut("the session ended")
            await work.close()

    def _near_offer(self, session: "_Session") -> decode_pb2.NearOffer | None:
        if self.entry is None:
            return self.offer
        return decode_pb2.NearOffer(endpoint=self.entry.endpoint, ticket=self.entry.expect(session.come_near))


class _Session:
    """The attempts of one router."""

    def __init__(
        self, worker: FakeDecode, outgoing: "asyncio.Queue[decode_pb2.SessionResponse]", work: Background
    ) -> None:
        self.worker, self.outgoing, self.work = worker, outgoing, work
        self.credit = asyncio.Semaphore(0)
        self.running: dict[int, set[int]] = {}
        self.near: NearStream | None = None

    async def read(self, requests: AsyncIterator[decode_pb2.SessionRequest]) -> None:
        async for request in requests:
            self.hear(request)

    def come_near(self, stream: NearStream) -> Receive:
        self.near = stream
        self.worker.near.append(stream)
        return lambda message: self.hear(decode_pb2.SessionRequest.FromString(message))

    def hear(self, request: decode_pb2.SessionRequest) -> None:
        match request.WhichOneof("command"):
            case "open":
                self._grant(request.open.num_frames)
            case "credit":
                self._grant(request.credit.num_frames)
            case "attach":
                self.worker.attaches.append(request.attach)
                self.work.spawn(self.decode(request.attach))
            case "cancel":
                self.worker.cancelled_choices.extend(request.cancel.choices)
                left = self.running.get(request.cancel.stream, set())
                left -= set(request.cancel.choices) or left
                self.worker.script.mark("cancelled choice" if request.cancel.choices else "cancelled")

    def _grant(self, num_frames: int) -> None:
        for _ in range(num_frames):
            self.credit.release()

    async def decode(self, attach: decode_pb2.Attach) -> None:
        script, attempt = self.worker.script, attempt_from_proto(attach.attempt)
        self.running[attach.stream] = {choice.index for choice in attempt.choices}
        await script.reach("attach")
        if self.worker.fail_kind is not None:
            failed = decode_pb2.AttemptFailed(stream=attach.stream, kind=self.worker.fail_kind)
            await self.outgoing.put(decode_pb2.SessionResponse(failed=failed))
            return
        if attach.HasField("source"):
            await self.worker.lenders[attach.source.member].fetch(attempt.id)
        await script.reach("joined")
        joined = decode_pb2.Joined(stream=attach.stream, num_cached_tokens=1, transport="shm")
        await self.outgoing.put(decode_pb2.SessionResponse(joined=joined))
        nexts = {choice.index: attempt.next_index + len(choice.tail) for choice in attempt.choices}
        while running := self.running[attach.stream] & nexts.keys():
            await script.reach(f"token {min(nexts[choice] for choice in running)}")
            rows = []
            for choice in sorted(running & self.running[attach.stream]):
                token = sample(attempt.sampling, choice, nexts[choice])
                nexts[choice] += 1
                rows.append((attach.stream, token))
                if token.finish is not None:
                    del nexts[choice]
            await self.outgoing.put(decode_pb2.SessionResponse(step=step_frame_to_proto(frame_of(rows))))
            await asyncio.sleep(0)


def _told(**event: Any) -> prefill_pb2.RunResponse:
    return prefill_pb2.RunResponse(events=[prefill_pb2.RunEvent(**event)])


def _scores(attempt: Attempt) -> prefill_pb2.RunPromptLogprobs:
    tokens = [TokenLogprobs(token, -1.0) for token in attempt.token_ids[1 : attempt.num_prompt_tokens]]
    return prefill_pb2.RunPromptLogprobs(tokens=[logprobs_to_proto(token) for token in tokens])
