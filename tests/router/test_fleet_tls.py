"""Certificates on every plane of a router: members by their role, operators by theirs, clients by their authority."""

import asyncio
import http.client
import ssl
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

from baton.client import Client, Fleet
from baton.v1 import fleet_pb2, fleet_pb2_grpc
from common.net.convert_fleet import hello_to_proto
from common.net.dial import Dial
from common.net.tls import TlsFiles
from common.types.access import Access
from common.types.errors import BatonError, StartupError
from tests.net.certificates import Authority
from tests.router.rig import Rig, rig
from tests.router.samples import hello


async def test_a_request_passes_through_a_fleet_of_certificates(tmp_path: Path) -> None:
    folder = Authority(tmp_path / "tls").fleet()
    async with rig(tmp_path, access=Access(fleet_tls=folder)) as fleet:
        await fleet.prefill(dial=Dial.of("", folder, "prefill"))
        await fleet.decode(dial=Dial.of("", folder, "decode"))
        assert (await fleet.reply("hello", max_tokens=5)).texts == {0: "abcde"}


def prefill_hello(fleet: Rig) -> fleet_pb2.Hello:
    """Of a worker that this router would take."""
    model = fleet.router.serving.model
    return hello_to_proto(hello("p0", model=model.id, model_fingerprint=model.fingerprint))


async def test_a_member_joins_only_in_its_certificates_role(tmp_path: Path) -> None:
    folder = Authority(tmp_path / "tls").fleet()
    async with rig(tmp_path, access=Access(fleet_tls=folder)) as fleet:
        for role, message in (
            ("decode", "another role"),
            ("operator", "no role that may"),
            ("router", "no role that may"),
        ):
            channel = Dial.of("", folder, role).open(fleet.router.fleet_address, "router")
            call = fleet_pb2_grpc.FleetStub(channel).Join()
            with suppress(grpc.aio.AioRpcError):  # it may hear of the refusal already
                await call.write(fleet_pb2.JoinRequest(hello=prefill_hello(fleet)))
            with pytest.raises(grpc.aio.AioRpcError, match=message) as caught:
                await call.read()
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
            await channel.close()
        assert fleet.router.fleet.members() == ()


async def test_operators_show_a_certificate_of_their_own(tmp_path: Path) -> None:
    folder = Authority(tmp_path / "tls").fleet()
    async with rig(tmp_path, access=Access(fleet_tls=folder)) as fleet:
        async with Fleet(fleet.router.fleet_address, fleet_tls=folder) as operator:
            assert await operator.members() == ()
        async with Fleet(fleet.router.fleet_address, max_tries=1) as stranger:
            with pytest.raises(BatonError):
                await stranger.members(deadline_s=5)


async def test_clients_over_tls_with_a_key(tmp_path: Path) -> None:
    ours = Authority(tmp_path / "tls")
    files = ours.issue("front", "localhost", "127.0.0.1")
    access = Access(tls_cert=str(files.cert), tls_key=str(files.key))
    async with rig(tmp_path, access=access) as fleet:
        async with Client(fleet.router.grpc_address, tls_ca=str(ours.ca)) as client:
            (model,) = await client.list_models(deadline_s=10)
            assert model.id == "tiny"
        assert await asyncio.to_thread(health, fleet.router.http_address, ours.ca) == 200
        async with Client(fleet.router.grpc_address, max_tries=1) as bare:
            with pytest.raises(BatonError):
                await bare.list_models(deadline_s=5)


async def test_an_authority_for_clients_asks_for_their_certificates(tmp_path: Path) -> None:
    ours = Authority(tmp_path / "tls")
    files, own = ours.issue("front", "127.0.0.1"), ours.issue("client", "client.test")
    access = Access(tls_cert=str(files.cert), tls_key=str(files.key), tls_client_ca=str(ours.ca))
    async with rig(tmp_path, access=access) as fleet:
        assert await asyncio.to_thread(health, fleet.router.http_address, ours.ca, own) == 200
        with pytest.raises(OSError):  # noqa: PT011 - how a refused handshake looks is up to the platform
            await asyncio.to_thread(health, fleet.router.http_address, ours.ca)
        async with Client(fleet.router.grpc_address, tls_ca=str(ours.ca), max_tries=1) as bare:
            with pytest.raises(BatonError):
                await bare.list_models(deadline_s=5)


@pytest.mark.parametrize(
    "access",
    [Access(tls_cert="a.pem"), Access(tls_key="a.key"), Access(tls_client_ca="ca.pem"), Access(fleet_tls="no")],
)
async def test_half_a_setting_stops_the_start(tmp_path: Path, access: Access) -> None:
    with pytest.raises(StartupError):
        async with rig(tmp_path, access=access):
            raise AssertionError("it started")


def health(address: str, ca: Path, own: TlsFiles | None = None) -> int:
    """The status of /health over TLS."""
    context = ssl.create_default_context(cafile=str(ca))
    if own is not None:
        context.load_cert_chain(own.cert, own.key)
    connection = http.client.HTTPSConnection(address, timeout=10, context=context)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status
    finally:
        connection.close()
