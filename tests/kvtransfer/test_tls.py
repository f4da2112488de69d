"""TLS between a lender and its fetchers: only the right roles meet, and a stranger costs a lender nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from common.net.tls import TlsFiles
from common.types.errors import StartupError
from kvtransfer.transports.contract import PoolBytes, TransportFailed
from kvtransfer.transports.tcp import TcpLender
from kvtransfer.transports.tcp_fetch import TcpFetcher
from tests.kvtransfer.carriers import EPOCH, certificates, fleet_folder, hello_for
from tests.kvtransfer.pools import ATTEMPT, Loans, check_copied, descriptors, make_pool, pairs_of, snapshot
from tests.net.certificates import Authority


@contextlib.asynccontextmanager
async def lending(source: PoolBytes, tls: TlsFiles | None, receipt_s: float = 2.0) -> AsyncIterator[TcpLender]:
    lender = TcpLender(source, EPOCH, Loans().lends, tls=tls, receipt_s=receipt_s)
    await lender.start()
    try:
        yield lender
    finally:
        await lender.close()


async def reach(lender: TcpLender, own: PoolBytes, tls: TlsFiles | None) -> TcpFetcher:
    return await TcpFetcher.connect(lender.endpoint(), hello_for(lender, own), own, tls=tls, stall_s=5.0)


async def test_large_blocks_arrive_over_tls() -> None:
    source, own = make_pool(24, 1 << 20, seed=1), make_pool(24, 1 << 20)
    async with lending(source, certificates("prefill")) as lender:
        fetcher = await reach(lender, own, certificates("decode"))
        before, pairs = snapshot(own), pairs_of(source, list(range(24)), list(range(24)))
        report = await fetcher.fetch(ATTEMPT, pairs)
        check_copied(source, own, pairs, before)
        assert report.num_bytes == 24 << 20
        assert await fetcher.measure(4) > 0
        await fetcher.close()


@pytest.mark.parametrize("role", ["prefill", "router", "operator", "stranger", ""])
async def test_a_lender_lets_in_decode_workers_only(role: str, tmp_path: Path) -> None:
    source, own = make_pool(4, 100, seed=1), make_pool(4, 100)
    theirs = Authority(tmp_path).issue("decode", "decode.baton") if role == "stranger" else None
    async with lending(source, certificates("prefill"), receipt_s=2.0) as lender:
        await (await reach(lender, own, certificates("decode"))).close()
        before = descriptors()
        for _ in range(5):
            with pytest.raises(TransportFailed):
                await reach(lender, own, theirs or (certificates(role) if role else None))
        await (await reach(lender, own, certificates("decode"))).close()
    assert descriptors() < before + 5, "the strangers' connections are closed"


@pytest.mark.parametrize("role", ["decode", "router", ""])
async def test_a_fetcher_trusts_prefill_workers_only(role: str) -> None:
    source, own = make_pool(4, 100, seed=1), make_pool(4, 100)
    async with lending(source, certificates(role) if role else None, receipt_s=0.5) as lender:
        with pytest.raises(TransportFailed):
            await reach(lender, own, certificates("decode"))


async def test_silence_instead_of_a_handshake_is_cut_off() -> None:
    async with lending(make_pool(4, 100, seed=1), certificates("prefill"), receipt_s=0.3) as lender:
        host, port = lender.endpoint().split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_certificates_that_cannot_be_used(tmp_path: Path) -> None:
    pool = make_pool(4, 100, seed=1)
    none = TlsFiles(tmp_path / "no.pem", tmp_path / "no.key", Path(fleet_folder()) / "ca.pem")
    with pytest.raises(StartupError):
        async with lending(pool, none):
            raise AssertionError("it started")
    async with lending(pool, certificates("prefill")) as lender:
        with pytest.raises(TransportFailed, match="own certificate"):
            await reach(lender, make_pool(4, 100), none)
