"""Shared memory: who gets the descriptor, what can be done with it, and what is left behind."""

import asyncio
import fcntl
import mmap
import os
import socket
from pathlib import Path

import numpy as np
import pytest

from common.types.errors import StartupError
from kvtransfer.transports.contract import PoolBytes, TransportFailed
from kvtransfer.transports.hello import WELCOME, Hello, Refusal, Welcome
from kvtransfer.transports.shm import ShmLender
from kvtransfer.transports.shm_fetch import ShmFetcher
from tests.kvtransfer.carriers import EPOCH, FETCHER_EPOCH, hello_for
from tests.kvtransfer.pools import ATTEMPT, LAYOUT, check_copied, descriptors, make_pool, pairs_of, snapshot


def mappings() -> int:
    return Path("/proc/self/maps").read_text().count("memfd:test-pool")


async def ask(lender: ShmLender, hello: bytes) -> tuple[Welcome, list[int]]:
    """A fetcher by hand: the answer and the descriptors that came with it."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as sock:
        await loop.sock_connect(sock, "\0" + lender.endpoint().partition(":")[2])
        await loop.sock_sendall(sock, hello)
        sock.setblocking(True)
        data, fds, _, _ = await asyncio.to_thread(socket.recv_fds, sock, WELCOME.size, 4)
        return Welcome.unpack(data), list(fds)


async def test_the_descriptor_cannot_be_mapped_writable_or_resized() -> None:
    source, own = make_pool(4, 4096, seed=1), make_pool(4, 4096)
    lender = ShmLender(source, EPOCH)
    await lender.start()
    welcome, (fd,) = await ask(lender, hello_for(lender, own).pack())
    assert (welcome.status, welcome.num_blocks, welcome.block_bytes) == (0, 4, 4096)
    with pytest.raises(PermissionError):
        mmap.mmap(fd, 4 * 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    with pytest.raises(OSError, match=r"Bad file descriptor|not permitted"):
        os.write(fd, b"x")
    for wanted in (0, 5 * 4096):
        with pytest.raises(OSError, match=r"Invalid argument|not permitted"):
            os.ftruncate(fd, wanted)
    os.close(fd)
    await lender.close()


async def test_no_ticket_no_descriptor() -> None:
    source, own = make_pool(4, 4096, seed=1), make_pool(4, 4096)
    lender = ShmLender(source, EPOCH)
    await lender.start()
    for ticket in (bytes(32), lender.ticket(FETCHER_EPOCH + 1)):
        welcome, fds = await ask(lender, Hello(EPOCH, FETCHER_EPOCH, LAYOUT, 4096, ticket).pack())
        assert (welcome, fds) == (Welcome(Refusal.TICKET), [])
        with pytest.raises(TransportFailed, match="ticket"):
            await ShmFetcher.connect(lender.endpoint(), Hello(EPOCH, FETCHER_EPOCH, LAYOUT, 4096, ticket), own)
    await lender.close()


@pytest.mark.parametrize(
    ("epoch", "layout", "block_bytes", "reason"),
    [(EPOCH + 1, LAYOUT, 4096, "restarted"), (EPOCH, "other", 4096, "laid out"), (EPOCH, LAYOUT, 2048, "laid out")],
)
async def test_another_epoch_or_layout_is_refused(epoch: int, layout: str, block_bytes: int, reason: str) -> None:
    lender = ShmLender(make_pool(4, 4096, seed=1), EPOCH)
    await lender.start()
    hello = Hello(epoch, FETCHER_EPOCH, layout, block_bytes, lender.ticket(FETCHER_EPOCH))
    with pytest.raises(TransportFailed, match=reason):
        await ShmFetcher.connect(lender.endpoint(), hello, make_pool(4, block_bytes))
    await lender.close()


async def test_a_lender_without_shared_memory_says_so_at_the_start() -> None:
    pool = PoolBytes(None, np.zeros((2, 8), np.uint8), LAYOUT)
    with pytest.raises(StartupError, match="not shared memory"):
        await ShmLender(pool, EPOCH).start()
    fd = os.open("/dev/null", os.O_RDONLY)
    with pytest.raises(StartupError, match="cannot be lent"):
        await ShmLender(PoolBytes(fd, pool.blocks, LAYOUT), EPOCH).start()
    os.close(fd)


async def test_a_runtime_folder_is_private_and_empty_afterwards(tmp_path: Path) -> None:
    source, own = make_pool(4, 100, seed=1), make_pool(4, 100)
    lender = ShmLender(source, EPOCH, runtime_dir=str(tmp_path))
    await lender.start()
    (folder,) = os.listdir(tmp_path)
    assert os.stat(tmp_path / folder).st_mode & 0o777 == 0o700
    fetcher = await ShmFetcher.connect(lender.endpoint(), hello_for(lender, own), own)
    pairs, before = pairs_of(source, [0, 3], [1, 2]), snapshot(own)
    await fetcher.fetch(ATTEMPT, pairs)
    check_copied(source, own, pairs, before)
    await fetcher.close()
    await lender.close()
    assert os.listdir(tmp_path) == []


async def test_a_folder_too_long_for_a_socket_is_a_startup_error(tmp_path: Path) -> None:
    long = tmp_path / ("d" * 120)
    long.mkdir()
    lender = ShmLender(make_pool(2, 8), EPOCH, runtime_dir=str(long))
    with pytest.raises(StartupError, match="cannot be made"):
        await lender.start()
    assert os.listdir(long) == []


@pytest.mark.parametrize("endpoint", ["", "unix:", "tcp:1.2.3.4:5", "unix:/nowhere/at/all", "unix-abstract:nobody"])
async def test_an_endpoint_that_is_not_here_is_a_failure(endpoint: str) -> None:
    own = make_pool(2, 8)
    with pytest.raises(TransportFailed):
        await ShmFetcher.connect(endpoint, Hello(EPOCH, FETCHER_EPOCH, LAYOUT, 8, bytes(32)), own)


async def pretend(welcome: bytes, *fds: int) -> str:
    """A lender that answers every hello with the same bytes and descriptors; returns its endpoint."""
    loop = asyncio.get_running_loop()
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind("")
    listening.listen()
    listening.setblocking(False)

    async def answer() -> None:
        sock, _ = await loop.sock_accept(listening)
        await loop.sock_recv(sock, 4096)
        socket.send_fds(sock, [welcome], list(fds))
        sock.close()
        listening.close()

    tasks.add(loop.create_task(answer()))
    name: bytes = listening.getsockname()
    return f"unix-abstract:{name[1:].decode()}"


tasks: set[asyncio.Task[None]] = set()


async def test_memory_that_could_shrink_or_is_too_small_is_not_mapped() -> None:
    own = make_pool(4, 4096)
    hello = Hello(EPOCH, FETCHER_EPOCH, LAYOUT, 4096, bytes(32))
    unsealed, small = os.memfd_create("unsealed"), os.memfd_create("small", os.MFD_ALLOW_SEALING)
    for fd in (unsealed, small):
        os.truncate(fd, 3 * 4096)
    fcntl.fcntl(small, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    before = descriptors()
    for welcome, fds, reason in (
        (Welcome(0, 3, 4096, EPOCH), [unsealed], "not sealed"),
        (Welcome(0, 4, 4096, EPOCH), [small], "smaller"),
        (Welcome(0, 2**32 - 1, 4096, EPOCH), [small], "smaller"),
        (Welcome(0, 0, 4096, EPOCH), [small], "smaller"),
        (Welcome(0, 3, 2**63, EPOCH), [small], "protocol"),
        (Welcome(0, 3, 4096, EPOCH), [], "protocol"),
        (Welcome(99), [], "unknown reason"),
    ):
        endpoint = await pretend(welcome.pack(), *fds)
        with pytest.raises(TransportFailed, match=reason):
            await ShmFetcher.connect(endpoint, hello, own)
    for rubbish in (b"", b"x", b"HTTP/1.1 400 Bad Request, and so on and on"):
        endpoint = await pretend(rubbish)
        with pytest.raises(TransportFailed, match="protocol"):
            await ShmFetcher.connect(endpoint, hello, own)
    await asyncio.wait(tasks)
    tasks.clear()
    assert descriptors() <= before
    os.close(unsealed)
    os.close(small)


async def test_nothing_is_left_open_or_mapped() -> None:
    source, own = make_pool(4, 4096, seed=1), make_pool(4, 4096)
    before = descriptors(), mappings()
    for _ in range(3):
        lender = ShmLender(source, EPOCH)
        await lender.start()
        fetchers = [await ShmFetcher.connect(lender.endpoint(), hello_for(lender, own), own) for _ in range(3)]
        assert mappings() == before[1] + 3
        await asyncio.gather(*(fetcher.fetch(ATTEMPT, pairs_of(source, [1, 3], [0, 2])) for fetcher in fetchers))
        await asyncio.gather(*(fetcher.close() for fetcher in fetchers))
        await lender.close()
        await lender.close()
        assert descriptors() <= before[0]
        assert mappings() == before[1]


STRANGER = """
import socket, sys
sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
sock.connect("\\0" + sys.argv[1])
try:
    sock.sendall(bytes.fromhex(sys.argv[2]))
    print(len(sock.recv(4096)))
except ConnectionError:
    print(0)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process as somebody else")
async def test_another_user_gets_nothing_even_with_a_ticket() -> None:
    source, own = make_pool(4, 100, seed=1), make_pool(4, 100)
    lender = ShmLender(source, EPOCH)
    await lender.start()
    arguments = (lender.endpoint().partition(":")[2], hello_for(lender, own).pack().hex())
    answers = []
    for user in (os.geteuid(), 65534):
        python = await asyncio.create_subprocess_exec(
            *("/proc/self/exe", "-I", "-S", "-c", STRANGER, *arguments), stdout=asyncio.subprocess.PIPE, user=user
        )
        answers.append(int((await python.communicate())[0]))
    assert answers == [WELCOME.size, 0]
    await lender.close()
