"""The parts of a stream's chunks that never change, written once; around a token's text a chunk is two joins."""

from collections.abc import Mapping
from typing import Any

from router.http.pieces import dumped, quoted
from router.served_model import ServedModel
from router.serving import Accepted


def identity(prefix: str, kind: str, accepted: Accepted, model: ServedModel, created: int) -> dict[str, Any]:
    """How every answer and every chunk of one begins. Equal fingerprints and seeds promise equal answers."""
    return {
        "id": prefix + accepted.request_id.removeprefix("r-"),
        "object": kind,
        "created": created,
        "model": accepted.model,
        "system_fingerprint": "fp_" + model.fingerprint[:12],
    }


class Frames:
    """Of one stream. `of_text` says where a plain token's text goes; `choice` and `bare` write any other chunk."""

    __slots__ = ("_after", "_before", "_head", "_index", "_opening", "_tail")

    def __init__(self, identity: Mapping[str, Any], *, with_usage: bool, before: str, after: str) -> None:
        """`before` and `after` surround the text within its choice, behind the index."""
        self._head = f'data: {dumped(identity)[:-1]},"choices":['
        self._tail = ("]," + '"usage":null' if with_usage else "]") + "}\n\n"
        self._before, self._after = before, after + self._tail
        self._index, self._opening = -1, ""

    def of_text(self, index: int, text: str) -> str:
        if index != self._index:
            self._index, self._opening = index, f'{self._head}{{"index":{index},{self._before}'
        return f"{self._opening}{quoted(text)}{self._after}"

    def choice(self, choice: Mapping[str, Any], **more: Any) -> str:
        """A chunk with one choice, and more at the top."""
        tail = self._tail if not more else f"],{dumped(more)[1:]}\n\n"
        return f"{self._head}{dumped(choice)}{tail}"

    def bare(self, **more: Any) -> str:
        """A chunk without a choice."""
        return f"{self._head}],{dumped(more)[1:]}\n\n"
