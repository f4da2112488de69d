"""`Inference`: what clients call, between the messages and the serving; decides nothing.

Owns how long a client may leave a message unread.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

import grpc

from baton.v1 import inference_pb2, inference_pb2_grpc
from common.net.deadlines import remaining_s
from common.net.errors import to_status
from common.types.config import RouterConfig
from common.types.errors import BatonError, InvalidRequest, invalid
from common.types.tools import Offer
from router.ask import Ask, ChatAsk
from router.client_stream import ClientStream, Departures
from router.incoming import part_of
from router.patience import Patience, StalledReader
from router.reading import read_apart
from router.service_answers import Apart, encoded
from router.service_asks import ask_of, offer_of, prompt_of, renamed
from router.serving import Message, Serving

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
        self._departures = Departures()

    async def Generate(self, request: inference_pb2.GenerateRequest, context: Context) -> None:
        patience = Patience(self._stalled_reader_s)
        encode: Callable[[Message], Sequence[object]] = encoded
        ask, offer, deadline_s = ask_of(request), Offer(), remaining_s(context, self._default_deadline_s)
        try:
            async with patience:
                if isinstance(ask.prompt, ChatAsk):
                    self._serving.check_model(ask.model)
                    offer = offer_of(request.chat)
                    chat = await read_apart(self._serving, ask, offer)
                    ask, encode = chat.ask, encoded if chat.reading.plain else Apart(chat.reading).responses
                stream = ClientStream(encode, context.write, patience, self._departures)
                with part_of(_traceparent(context)):
                    await self._stream(ask, deadline_s, stream)
        except InvalidRequest as error:
            raise renamed(error, calls=offer.stands and not request.HasField("constraint")) from None
        except StalledReader as error:
            _log.warning("cut", extra={"reason": str(error)})
            await self._cut(context, error)

    async def _stream(self, ask: Ask, deadline_s: float, stream: ClientStream[Message]) -> None:
        try:
            await self._serving.generate(ask, deadline_s, stream.write, outlet=stream)
        except BatonError:
            await stream.sent()  # its status waits behind it: a reader that stalls must be noticed here
            raise

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
        prompt = prompt_of(request, request.WhichOneof("input"))
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
