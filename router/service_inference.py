"""`Inference`: what clients call. Turns messages into asks and what comes back into messages; decides nothing.

Owns how long a client may leave a message unread.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import asdict

import grpc

from baton.v1 import inference_pb2, inference_pb2_grpc
from common.net.convert import finish_to_proto, logprobs_to_proto
from common.net.convert_sampling import constraint_from_proto
from common.net.deadlines import remaining_s
from common.net.errors import to_status
from common.types.config import RouterConfig
from common.types.errors import invalid
from router.answer import Delta
from router.ask import Ask, ChatAsk, ChatMessage, Prompt
from router.incoming import part_of
from router.patience import Patience, StalledReader
from router.relay import Scores
from router.serving import Accepted, Message, Serving
from router.timeline import Summary

Context = grpc.aio.ServicerContext[inference_pb2.GenerateRequest, inference_pb2.GenerateResponse]
"""Only its type parameters differ between the methods."""
CUT_S = 0.2
_log = logging.getLogger("baton.router")


class InferenceService(inference_pb2_grpc.InferenceServicer):
    """The public face of one router."""

    def __init__(self, serving: Serving, config: RouterConfig) -> None:
        self._serving = serving
        self._default_deadline_s = config.default_deadline_s
        self._stalled_reader_s = config.timeouts.stalled_reader_s

    async def Generate(self, request: inference_pb2.GenerateRequest, context: Context) -> None:
        patience = Patience(self._stalled_reader_s)

        async def write(messages: Sequence[Message]) -> None:
            for message in messages:
                patience.begin()
                await context.write(_response(message))
                patience.end()

        try:
            async with patience:
                with part_of(_traceparent(context)):
                    await self._serving.generate(_ask(request), remaining_s(context, self._default_deadline_s), write)
        except StalledReader as error:
            _log.warning("cut", extra={"reason": str(error)})
            await self._cut(context, error)

    async def _cut(self, context: Context, error: StalledReader) -> None:
        """The status waits behind unread messages: it is left there, and the call no longer counts."""
        try:
            async with asyncio.timeout(CUT_S):
                await context.abort_with_status(to_status(error))
        except TimeoutError:
            raise asyncio.CancelledError from None

    async def Tokenize(
        self, request: inference_pb2.TokenizeRequest, context: Context
    ) -> inference_pb2.TokenizeResponse:
        self._serving.check_model(request.model if request.HasField("model") else None)
        prompt = _prompt(request, request.WhichOneof("input"))
        special = request.add_special_tokens if request.HasField("add_special_tokens") else True
        token_ids = await self._serving.token_ids(prompt, add_special_tokens=special)
        return inference_pb2.TokenizeResponse(token_ids=token_ids, max_model_tokens=self._serving.max_model_tokens)

    async def Detokenize(
        self, request: inference_pb2.DetokenizeRequest, context: Context
    ) -> inference_pb2.DetokenizeResponse:
        self._serving.check_model(request.model if request.HasField("model") else None)
        model = self._serving.model
        if request.token_ids and max(request.token_ids) >= model.vocab_size:
            raise invalid("token_ids", f"must be below the vocabulary's size of {model.vocab_size}")
        text = await asyncio.to_thread(model.tokenizer.decode, request.token_ids, request.skip_special_tokens)
        return inference_pb2.DetokenizeResponse(text=text)

    async def ListModels(
        self, request: inference_pb2.ListModelsRequest, context: Context
    ) -> inference_pb2.ListModelsResponse:
        model = self._serving.model
        entry = inference_pb2.Model(
            id=model.id,
            max_model_tokens=self._serving.max_model_tokens,
            vocab_size=model.vocab_size,
            architecture=model.architecture,
            ready=self._serving.ready,
        )
        return inference_pb2.ListModelsResponse(models=[entry])


def _traceparent(context: Context) -> str:
    """As the client sent it."""
    sent = next((value for name, value in context.invocation_metadata() or () if name == "traceparent"), "")
    return sent if isinstance(sent, str) else ""


def _ask(request: inference_pb2.GenerateRequest) -> Ask:
    """Absent fields become None, so that one place owns the defaults."""
    wanted = request.sampling
    return Ask(
        prompt=_prompt(request, request.WhichOneof("prompt")),
        model=request.model if request.HasField("model") else None,
        temperature=wanted.temperature if wanted.HasField("temperature") else None,
        top_k=wanted.top_k if wanted.HasField("top_k") else None,
        top_p=wanted.top_p if wanted.HasField("top_p") else None,
        min_p=wanted.min_p if wanted.HasField("min_p") else None,
        repetition_penalty=wanted.repetition_penalty if wanted.HasField("repetition_penalty") else None,
        presence_penalty=wanted.presence_penalty if wanted.HasField("presence_penalty") else None,
        frequency_penalty=wanted.frequency_penalty if wanted.HasField("frequency_penalty") else None,
        logit_bias=dict(wanted.logit_bias),
        seed=wanted.seed if wanted.HasField("seed") else None,
        num_choices=request.n if request.HasField("n") else None,
        max_tokens=request.max_tokens if request.HasField("max_tokens") else None,
        min_tokens=request.min_tokens if request.HasField("min_tokens") else None,
        stop=tuple(request.stop),
        stop_token_ids=tuple(request.stop_token_ids),
        ignore_eos=request.ignore_eos,
        logprobs=request.logprobs if request.HasField("logprobs") else None,
        prompt_logprobs=request.prompt_logprobs if request.HasField("prompt_logprobs") else None,
        explain=request.explain,
        constraint=constraint_from_proto(request.constraint) if request.HasField("constraint") else None,
    )


def _prompt(request: inference_pb2.GenerateRequest | inference_pb2.TokenizeRequest, form: str | None) -> Prompt | None:
    """In the form that was sent; None when there was none."""
    match form:
        case "text":
            return request.text
        case "tokens" if isinstance(request, inference_pb2.GenerateRequest):
            return tuple(request.tokens.ids)
        case "chat":
            messages = tuple(ChatMessage(message.role, message.content) for message in request.chat.messages)
            chat = request.chat
            opens = chat.add_generation_prompt if chat.HasField("add_generation_prompt") else True
            return ChatAsk(messages, opens)
        case _:
            return None


def _response(message: Message) -> inference_pb2.GenerateResponse:
    match message:
        case Delta(choice, text, token_ids, (), None):
            return inference_pb2.GenerateResponse(
                delta=inference_pb2.Delta(choice=choice, text=text, token_ids=token_ids)
            )
        case Delta():
            delta = inference_pb2.Delta(
                choice=message.choice,
                text=message.text,
                token_ids=message.token_ids,
                logprobs=[logprobs_to_proto(logprobs) for logprobs in message.logprobs],
                finish=finish_to_proto(message.finish),
            )
            return inference_pb2.GenerateResponse(delta=delta)
        case Accepted():
            accepted = inference_pb2.Accepted(
                request_id=message.request_id,
                model=message.model,
                num_prompt_tokens=message.num_prompt_tokens,
            )
            return inference_pb2.GenerateResponse(accepted=accepted)
        case Scores(tokens):
            scores = inference_pb2.PromptLogprobs(tokens=[logprobs_to_proto(token) for token in tokens])
            return inference_pb2.GenerateResponse(prompt_logprobs=scores)
        case Summary():
            return inference_pb2.GenerateResponse(done=_done(message))


def _done(summary: Summary) -> inference_pb2.Done:
    explanations = [
        inference_pb2.Explanation(decision=why.decision, chosen=why.chosen, candidates=why.candidates)
        for why in summary.explanations
    ]
    usage = inference_pb2.Usage(
        num_prompt_tokens=summary.num_prompt_tokens,
        num_cached_tokens=summary.num_cached_tokens,
        num_output_tokens=summary.num_output_tokens,
    )
    return inference_pb2.Done(
        usage=usage,
        timings=inference_pb2.Timings(**asdict(summary.timings)),
        num_attempts=summary.num_attempts,
        explanations=explanations,
    )
