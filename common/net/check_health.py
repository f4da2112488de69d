"""`python -m common.net.check_health HOST:PORT [SERVICE]`: asks the standard gRPC health service; exits 0 when serving.

For whoever watches a container from inside it.
"""

import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

PATIENCE_S = 3.0


def check(address: str, service: str = "") -> str:
    """Empty when it serves, or what it does instead."""
    with grpc.insecure_channel(address) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service=service), timeout=PATIENCE_S
            )
        except grpc.RpcError as error:
            return str(error.code().name)
    name: str = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return "" if answer.status == health_pb2.HealthCheckResponse.SERVING else name


if __name__ == "__main__":
    found = check(*sys.argv[1:3])
    sys.stdout.write(found or "serving")
    sys.exit(bool(found))
