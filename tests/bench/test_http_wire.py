"""HTTP answers at every split of their bytes."""

import pytest

from loadtest.bench.http_wire import Malformed, Response

CHUNKED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\nA;x=1\r\n, world 12\r\n0\r\nTrailer: x\r\n\r\n"
)
SIZED = b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone"


def pieces(data: bytes, size: int) -> tuple[Response, bytes]:
    response = Response()
    body = b"".join(response.feed(data[at : at + size]) for at in range(0, len(data), size))
    return response, body


@pytest.mark.parametrize("size", range(1, len(CHUNKED) + 1))
def test_chunks_at_every_split(size: int) -> None:
    response, body = pieces(CHUNKED, size)
    assert body == b"hello, world 12"
    assert (response.status, response.complete, response.reusable) == (200, True, True)
    assert response.headers["content-type"] == "text/event-stream"


@pytest.mark.parametrize("size", [1, 3, len(SIZED)])
def test_bodies_of_known_length(size: int) -> None:
    response, body = pieces(SIZED, size)
    assert (response.status, body, response.complete) == (404, b"gone", True)


def test_a_body_is_handed_on_before_its_chunk_ends() -> None:
    response = Response()
    assert response.feed(CHUNKED[: CHUNKED.index(b"hello") + 2]) == b"he"
    assert not response.complete


def test_a_body_without_length_ends_with_the_connection() -> None:
    response = Response()
    assert response.feed(b"HTTP/1.0 200 OK\r\n\r\nsome") == b"some"
    assert response.feed(b" more") == b" more"
    assert not response.complete
    response.end()
    assert response.complete


def test_no_body() -> None:
    for head in (b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"):
        response = Response()
        assert response.feed(head) == b""
        assert response.complete


def test_an_interim_answer_comes_before_the_answer() -> None:
    response = Response()
    assert response.feed(b"HTTP/1.1 100 Continue\r\n\r\n" + SIZED) == b"gone"
    assert response.status == 404


@pytest.mark.parametrize("more", [b"HTTP", b"\r\n"])
def test_bytes_after_the_end_make_a_connection_useless(more: bytes) -> None:
    response = Response()
    response.feed(SIZED + more)
    assert response.complete
    assert not response.reusable


def test_a_server_may_close() -> None:
    response = Response()
    response.feed(b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 1\r\n\r\nx")
    assert response.complete
    assert not response.reusable


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        *(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + size + b"\r\n"
            for size in (b"-5", b"+5", b"0x5", b"1_0", b"", b";q=1")
        ),
        b"x" * (65 << 10),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * (65 << 10),
    ],
)
def test_what_is_no_answer(data: bytes) -> None:
    with pytest.raises(Malformed):
        Response().feed(data)


@pytest.mark.parametrize("data", [b"", CHUNKED[:-4], SIZED[:-1]])
def test_an_answer_that_breaks_off(data: bytes) -> None:
    response = Response()
    response.feed(data)
    with pytest.raises(Malformed, match="closed"):
        response.end()
