"""Many processes' lines on one stream, also when nobody reads it any more."""

import io
import os

from baton.cli.lines import Lines


def test_each_line_stands_under_its_name_and_a_file_gets_no_colours() -> None:
    stream = io.StringIO()
    Lines(stream).write("decode-0", "ready")
    assert stream.getvalue() == "decode-0   | ready\n"


def test_plain_lines_are_left_alone() -> None:
    stream = io.StringIO()
    Lines(stream, plain=True).write("decode-0", "{}")
    assert stream.getvalue() == "{}\n"


def test_nobody_reads_any_more() -> None:
    read, write = os.pipe()
    os.close(read)
    with open(os.dup(write), "w", buffering=1) as stream:
        lines = Lines(stream)
        lines.write("router", "first")
        lines.write("router", "second")
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    os.close(write)
