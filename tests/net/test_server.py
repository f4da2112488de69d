"""Taking a port, refusing to be reachable by accident, and limits of messages."""

import socket
from functools import partial
from pathlib import Path

import grpc
import pytest

from baton.v1 import inference_pb2, inference_pb2_grpc
from common.net.channel import open_channel
from common.net.server import bind, is_local, make_server, split_address
from common.types.errors import StartupError
from tests.net.servers import connected


class Echo(inference_pb2_grpc.InferenceServicer):
    """Gives the text back."""

    async def Detokenize(
        self, request: inference_pb2.DetokenizeRequest, context: object
    ) -> inference_pb2.DetokenizeResponse:
        return inference_pb2.DetokenizeResponse(text="xx" * len(request.token_ids))

    async def Tokenize(self, request: inference_pb2.TokenizeRequest, context: object) -> inference_pb2.TokenizeResponse:
        return inference_pb2.TokenizeResponse(token_ids=[len(request.text)])


echo = partial(inference_pb2_grpc.add_InferenceServicer_to_server, Echo())


async def test_port_0_takes_a_free_port_and_answers() -> None:
    async with connected(echo) as channel:
        stub = inference_pb2_grpc.InferenceStub(channel)
        answer = await stub.Tokenize(inference_pb2.TokenizeRequest(text="hello"))
        assert list(answer.token_ids) == [5]


async def test_a_port_in_use_says_so_with_a_fix() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(StartupError, match=f"port {port} on 127.0.0.1 is already in use") as caught:
            bind(make_server([]), f"127.0.0.1:{port}")
        assert caught.value.fix


async def test_two_servers_cannot_share_a_port() -> None:
    first = make_server([])
    port = bind(first, "127.0.0.1:0")
    await first.start()
    with pytest.raises(StartupError, match="already in use"):
        bind(make_server([]), f"127.0.0.1:{port}")
    await first.stop(None)


@pytest.mark.parametrize("address", ["", "50051", "host:", ":1", "127.0.0.1:http", "127.0.0.1:65536", "a:-1"])
async def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(StartupError, match="no address"):
        bind(make_server([]), address)


async def test_an_unknown_host_and_a_foreign_address() -> None:
    with pytest.raises(StartupError, match="not known"):
        bind(make_server([]), "no-such-host.invalid:50051", expose=True)
    with pytest.raises(StartupError, match="no address of this machine"):
        bind(make_server([]), "192.0.2.1:50051", expose=True)


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.168.0.7:0", "example.org:0"])
async def test_beyond_loopback_needs_a_word(address: str) -> None:
    assert not is_local(address)
    with pytest.raises(StartupError, match="other machines"):
        bind(make_server([]), address)


async def test_with_the_word_it_listens() -> None:
    assert bind(make_server([]), "0.0.0.0:0", expose=True) > 0


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "localhost:1", "unix:/run/x"])
def test_loopback_and_sockets_are_local(address: str) -> None:
    assert is_local(address)


def test_addresses_split() -> None:
    assert split_address("[::1]:8") == ("::1", 8)
    assert split_address("localhost:50051") == ("localhost", 50051)
    assert split_address("unix:/run/baton.sock") == ("/run/baton.sock", 0)


async def test_a_unix_socket_serves(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/baton.sock"
    server = make_server([echo])
    bind(server, address)
    await server.start()
    async with open_channel(address) as channel:
        answer = await inference_pb2_grpc.InferenceStub(channel).Tokenize(inference_pb2.TokenizeRequest(text="hi"))
        assert list(answer.token_ids) == [2]
    await server.stop(None)


async def test_messages_over_the_limit_are_refused_both_ways() -> None:
    async with connected(echo, max_message_bytes=64 << 10) as channel:
        stub = inference_pb2_grpc.InferenceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Tokenize(inference_pb2.TokenizeRequest(text="x" * (65 << 10)))
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Detokenize(inference_pb2.DetokenizeRequest(token_ids=[1] * (40 << 10)))
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        answer = await stub.Tokenize(inference_pb2.TokenizeRequest(text="still here"))
        assert list(answer.token_ids) == [10]
