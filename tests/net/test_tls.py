"""Certificates: who is let in over gRPC and HTTP's kind of TLS, and what a changed file changes."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from common.net import tls
from common.net.channel import open_channel
from common.net.health import Health
from common.net.peers import callers_of
from common.net.server import bind, make_server
from common.net.tls import TlsFiles, ca_credentials
from common.types.errors import StartupError
from tests.net.certificates import Authority


@pytest.fixture(autouse=True)
def _look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "LOOK_S", 0.0)


@asynccontextmanager
async def serving(files: TlsFiles) -> AsyncIterator[str]:
    """A server with nothing but health."""
    health = await Health.open(())
    server = make_server([health.register])
    port = bind(server, "127.0.0.1:0", credentials=files.server_credentials())
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def answers(address: str, credentials: grpc.ChannelCredentials | None, host: str = "a.test") -> bool:
    """Whether a call gets through."""
    async with open_channel(address, credentials=credentials, host=host) as channel:
        try:
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return False
        return True


async def test_both_ends_must_come_from_the_authority(tmp_path: Path) -> None:
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    server, client, stranger = ours.issue("a", "a.test"), ours.issue("b", "b.test"), theirs.issue("b", "b.test")
    async with serving(server) as address:
        assert await answers(address, client.channel_credentials())
        assert not await answers(address, stranger.channel_credentials())
        assert not await answers(address, replace(stranger, ca=ours.ca).channel_credentials())
        assert not await answers(address, ca_credentials(str(ours.ca))), "it showed no certificate"
        assert not await answers(address, client.channel_credentials(), "other.test")
        assert not await answers(address, None)


async def test_without_an_authority_clients_need_no_certificate(tmp_path: Path) -> None:
    ours = Authority(tmp_path)
    async with serving(replace(ours.issue("a", "a.test"), ca=None)) as address:
        assert await answers(address, ca_credentials(str(ours.ca)))
        assert not await answers(address, ca_credentials("system"))


async def test_a_changed_certificate_serves_the_next_connection(tmp_path: Path) -> None:
    ours = Authority(tmp_path)
    trusts = ca_credentials(str(ours.ca))
    async with serving(replace(ours.issue("a", "a.test"), ca=None)) as address:
        assert await answers(address, trusts, "a.test")
        ours.issue("a", "new.test")
        assert await answers(address, trusts, "new.test")
        assert not await answers(address, trusts, "a.test")


async def test_a_half_written_pair_changes_nothing(tmp_path: Path) -> None:
    ours = Authority(tmp_path)
    files = replace(ours.issue("a", "a.test"), ca=None)
    key = files.key.read_bytes()
    trusts = ca_credentials(str(ours.ca))
    async with serving(files) as address:
        ours.issue("a", "new.test")
        fresh = files.key.read_bytes()
        files.key.write_bytes(key)
        assert await answers(address, trusts, "a.test")
        files.key.unlink()
        assert await answers(address, trusts, "a.test")
        files.key.write_bytes(fresh)
        assert await answers(address, trusts, "new.test")


async def test_the_other_kind_of_server_renews_too(tmp_path: Path) -> None:
    ours = Authority(tmp_path)
    context = replace(ours.issue("a", "a.test"), ca=None).server_context()
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    trusting = ssl.create_default_context(cafile=str(ours.ca))

    async def knock(host: str) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname=host)
        writer.close()
        await writer.wait_closed()

    async with server:
        await knock("a.test")
        ours.issue("a", "new.test")
        await knock("new.test")
        with pytest.raises(ssl.SSLCertVerificationError):
            await knock("a.test")


@pytest.mark.parametrize("broken", ["cert", "key", "ca"])
def test_files_that_cannot_be_used_stop_the_start(tmp_path: Path, broken: str) -> None:
    files = Authority(tmp_path).issue("a", "a.test")
    path: Path = getattr(files, broken)
    path.write_text("nothing of the kind")
    with pytest.raises(StartupError, match="cannot be used"):
        files.server_credentials()
    path.unlink()
    with pytest.raises(StartupError, match="cannot be"):
        files.server_context()


def test_every_method_between_members_names_its_callers() -> None:
    assert callers_of("/baton.v1.Prefill/Run") == {"router"}
    assert callers_of("/baton.v1.KVTransfer/Fetch") == {"decode"}
    assert callers_of("/baton.v1.Fleet/Join") == {"prefill", "decode"}
    assert "prefill" not in callers_of("/baton.v1.Fleet/Drain")
    assert "decode" in callers_of("/grpc.health.v1.Health/Check")
