"""`Client`: the calls of the Inference service. Owns one channel; safe for many calls at once on one event loop."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from types import MappingProxyType
from typing import Any, Unpack

import grpc

from baton.client import read
from baton.client.calls import Calls, Connected, Proof, outcome
from baton.client.chats import Chat, Choice, Message, as_chat
from baton.client.gather import Gathered
from baton.client.prompts import Asking, Prompt, generate_request, tokenize_request
from baton.client.results import Accepted, Completion, Event, Model, Tokens
from baton.v1 import inference_pb2, inference_pb2_grpc
from common.net.tls import ca_credentials
from common.types.config import GRPC
from common.types.errors import Overloaded, Unavailable
from common.types.tools import Tool


class Client(Connected):
    """Talks to a router. Made inside a running event loop, closed by `close` or by leaving `async with`.

    `deadline_s` is for each call as a whole, tries included, unless the call names its own. A call is tried up to
    `max_tries` times when the router says "later" or cannot be reached; a generation only until it was accepted.
    With `tls_ca`, a file of certificates or `system`, the router must prove to be who the target names.
    Failures are `BatonError`s (common/types/errors.py).
    """

    def __init__(
        self, target: str = GRPC, *, api_key: str = "", tls_ca: str = "", deadline_s: float = 600.0, max_tries: int = 3
    ) -> None:
        proof = Proof(api_key, ca_credentials(tls_ca) if tls_ca else None)
        super().__init__(Calls(target, proof, deadline_s, max_tries))
        self._inference = inference_pb2_grpc.InferenceStub(self._calls.channel)

    async def generate(
        self, prompt: Prompt, *, deadline_s: float | None = None, **asking: Unpack[Asking]
    ) -> AsyncGenerator[Event]:
        """The events of a generation as they come: Accepted, Delta..., Done.

        Closing the iterator cancels the request on the server. A loop left by `break` closes it only when the garbage
        collector does: `async with contextlib.aclosing(client.generate(...)) as events` closes it at once.
        """
        request = generate_request(prompt, asking)
        budget = self._calls.budget("generate", deadline_s)
        while True:
            call = self._inference.Generate(request, timeout=budget.remaining_s(), metadata=self._calls.metadata)
            started = False
            try:
                while (message := await outcome(call.read(), call, "generate", self._calls.target)) is not grpc.aio.EOF:
                    event = read.event(message)
                    started = started or isinstance(event, Accepted)
                    if event is not None:
                        yield event
                return
            except (Overloaded, Unavailable) as error:
                if started:
                    raise
                await budget.wait_for(error)
            finally:
                call.cancel()

    async def complete(
        self, prompt: Prompt, *, deadline_s: float | None = None, **asking: Unpack[Asking]
    ) -> Completion:
        """The same, whole."""
        gathered = Gathered()
        async with aclosing(self.generate(prompt, deadline_s=deadline_s, **asking)) as events:
            async for event in events:
                gathered.add(event)
        return gathered.completion()

    async def chat(
        self,
        messages: Sequence[Message | Mapping[str, Any]],
        *,
        tools: Sequence[Tool | Mapping[str, Any]] = (),
        tool_choice: Choice | None = None,
        parallel_tool_calls: bool | None = None,
        template_variables: Mapping[str, bool | float | str] = MappingProxyType({}),
        deadline_s: float | None = None,
        **asking: Unpack[Asking],
    ) -> Completion:
        """The assistant's next turn, which may be calls of the tools; `generate(as_chat(...))` streams it."""
        chat = as_chat(messages, tools, tool_choice, parallel_tool_calls, template_variables)
        return await self.complete(chat, deadline_s=deadline_s, **asking)

    async def tokenize(
        self,
        prompt: str | Chat,
        *,
        model: str | None = None,
        add_special_tokens: bool | None = None,
        deadline_s: float | None = None,
    ) -> Tokens:
        request = tokenize_request(prompt, model, add_special_tokens)
        answer = await self._unary(self._inference.Tokenize, request, "tokenize", deadline_s)
        return Tokens(tuple(answer.token_ids), answer.max_model_tokens)

    async def detokenize(
        self,
        token_ids: Sequence[int],
        *,
        model: str | None = None,
        skip_special_tokens: bool = False,
        deadline_s: float | None = None,
    ) -> str:
        request = inference_pb2.DetokenizeRequest(
            model=model, token_ids=token_ids, skip_special_tokens=skip_special_tokens
        )
        answer = await self._unary(self._inference.Detokenize, request, "detokenize", deadline_s)
        return str(answer.text)

    async def list_models(self, *, deadline_s: float | None = None) -> tuple[Model, ...]:
        request = inference_pb2.ListModelsRequest()
        answer = await self._unary(self._inference.ListModels, request, "list_models", deadline_s)
        return tuple(read.model(each) for each in answer.models)

    async def _unary(self, method: Any, request: object, leg: str, deadline_s: float | None) -> Any:
        return await self._calls.unary(method, request, leg, deadline_s)
