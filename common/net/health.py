"""Standard health (`grpc.health.v1`, with Watch) and reflection for a server.

Owns which services are serving. The empty service name stands for the whole process.
"""

from collections.abc import Iterable

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

PROCESS = ""
_REFLECTION_V1 = "grpc.reflection.v1.ServerReflection"


class Health:
    """Serving or not, per service. Made by `open`, which sets every service to not serving."""

    def __init__(self, services: Iterable[str]) -> None:
        self._names = (PROCESS, *services)
        self._servicer = health.aio.HealthServicer()

    @classmethod
    async def open(cls, services: Iterable[str]) -> "Health":
        """Of services by their full names, such as `baton.v1.Prefill`."""
        opened = cls(services)
        await opened.set_serving(False)
        return opened

    def register(self, server: grpc.aio.Server) -> None:
        """For `make_server`: health, and reflection over the services."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)
        reflect(server, (*self._names[1:], health.SERVICE_NAME))

    async def set_serving(self, serving: bool, service: str | None = None) -> None:
        """Of one service, or of all and the process."""
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in self._names if service is None else (service,):
            await self._servicer.set(name, status)

    async def stop(self) -> None:
        """Not serving, for good: whoever watches looks elsewhere while the last calls end."""
        await self._servicer.enter_graceful_shutdown()


def reflect(server: grpc.aio.Server, services: Iterable[str]) -> None:
    """Reflection under both names that tools ask for: version 1 has the same messages as 1alpha."""
    names = (*services, reflection.SERVICE_NAME)
    servicer = reflection.aio.ReflectionServicer(names)
    describe = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    for name in (_REFLECTION_V1, reflection.SERVICE_NAME):
        methods = grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": describe})
        server.add_generic_rpc_handlers((methods,))
