"""Many processes' lines on one stream, also when nobody reads it any more."""

import io
import os

from baton.cli.lines import CLEAR, Lines


def test_each_line_stands_under_its_name_and_a_file_gets_no_colours() -> None:
    stream = io.StringIO()
    Lines(stream).write("decode-0", "ready")
    assert stream.getvalue() == "decode-0   | ready\n"


def test_plain_lines_are_left_alone() -> None:
    stream = io.StringIO()
    Lines(stream, plain=True).write("decode-0", "{}")
    assert stream.getvalue() == "{}\n"


class Terminal(io.StringIO):
    """Text that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_on_a_terminal_phases_share_a_last_line_that_goes_when_all_have_started() -> None:
    stream = Terminal()
    lines = Lines(stream, columns=lambda: 40)
    lines.expect("router")
    assert stream.getvalue() == f"{CLEAR}router: starting"
    lines.write("router", "router: opening its ports ...")
    lines.write("decode-0", "decode_worker: load 25% ...")
    assert stream.getvalue().endswith(f"{CLEAR}router: opening its ports   decode-0: l")
    lines.write("router", "router: ready in 0.8 s: clients on 127.0.0.1:50051")
    assert "clients on 127.0.0.1:50051\n" in stream.getvalue()
    assert stream.getvalue().endswith("\ndecode-0: load 25%")
    lines.write("decode-0", "decode_worker: cannot start (load): the file is cut")
    assert stream.getvalue().endswith("the file is cut\n")
    lines.write("decode-0", "decode_worker: load ...")
    lines.close()
    assert stream.getvalue().endswith(CLEAR)


def test_nobody_reads_any_more() -> None:
    read, write = os.pipe()
    os.close(read)
    with open(os.dup(write), "w", buffering=1) as stream:
        lines = Lines(stream)
        lines.write("router", "first")
        lines.write("router", "second")
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    os.close(write)
