"""A router over gRPC, by the generated stub alone: one message is one note of the time and one look at its kind."""

import asyncio
import time
from typing import Any

import grpc

from baton.client.calls import typed
from baton.v1 import inference_pb2, inference_pb2_grpc
from common.net.channel import open_channel
from loadtest.bench.record import Planned, Record
from loadtest.bench.target import Asking, Served

MAX_MESSAGE_BYTES = 16 << 20
ASK_S = 20.0


class GrpcTarget:
    """One channel; made inside a running event loop."""

    backend = "baton-grpc"

    def __init__(self, address: str, asking: Asking) -> None:
        self._address, self._asking = address, asking
        self._channel = open_channel(address, max_message_bytes=MAX_MESSAGE_BYTES)
        self._stub = inference_pb2_grpc.InferenceStub(self._channel)
        self._metadata = (("authorization", f"Bearer {asking.api_key}"),) if asking.api_key else ()

    async def served(self) -> Served:
        request = inference_pb2.ListModelsRequest()
        try:
            answer = await self._stub.ListModels(request, timeout=ASK_S, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise typed(error, "list_models", self._address) from error
        wanted = [model for model in answer.models if self._asking.model_id in ("", model.id)]
        return Served(wanted[0].id, wanted[0].vocab_size) if wanted else Served(self._asking.model_id)

    async def send(self, planned: Planned, record: Record) -> None:
        call: Any = None
        record.start_s = time.perf_counter()
        try:
            call = self._stub.Generate(self._request(planned), timeout=self._asking.deadline_s, metadata=self._metadata)
            await self._read(call, record)
        except grpc.aio.AioRpcError as error:
            record.error = error.code().name
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                record.error = "interrupted"
                raise
            record.error = "CANCELLED"  # grpc.aio tells of a call that the server cancelled in this way
        finally:
            record.end_s = time.perf_counter()
            if call is not None:
                call.cancel()

    async def _read(self, call: Any, record: Record) -> None:
        counted = 0
        while (message := await call.read()) is not grpc.aio.EOF:
            kind = message.WhichOneof("event")
            if kind == "delta":
                if message.delta.token_ids:
                    record.arrivals.append(time.perf_counter())
                    counted += len(message.delta.token_ids)
                    record.num_output = counted
                if self._asking.texts:
                    record.text += message.delta.text
            elif kind == "done":
                record.num_output = message.done.usage.num_output_tokens or counted
                return
        record.error = "ended early"

    def _request(self, planned: Planned) -> inference_pb2.GenerateRequest:
        request = inference_pb2.GenerateRequest(max_tokens=planned.num_output, ignore_eos=self._asking.ignore_eos)
        if isinstance(planned.prompt, str):
            request.text = planned.prompt
        else:
            request.tokens.ids.extend(planned.prompt)
        if self._asking.model_id:
            request.model = self._asking.model_id
        request.sampling.temperature = self._asking.temperature
        request.sampling.seed = self._asking.seed
        return request

    async def close(self) -> None:
        await self._channel.close()
