"""Output of many processes on one terminal: each line under its name. Owns the stream."""

from typing import TextIO

COLOURS = {"router": 36, "prefill": 33, "decode": 32, "baton": 1}
WIDTH = 10


class Lines:
    """`plain` leaves lines as they are: for machines that read them."""

    def __init__(self, stream: TextIO, plain: bool = False) -> None:
        self._stream = stream
        self._plain = plain
        self._colour = not plain and stream.isatty()
        self._unread = False

    def write(self, name: str, line: str) -> None:
        if not self._plain:
            label = f"{name:<{WIDTH}} |"
            if self._colour:
                label = f"\x1b[{COLOURS.get(name.split('-')[0], 0)}m{label}\x1b[0m"
            line = f"{label} {line}"
        if self._unread:
            return
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except OSError:
            self._unread = True  # the terminal was closed, or the pipe's reader ended: the processes go on
