"""Where an attempt's tokens go; and for a stretch of steps, where all of its rows go, found out once."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from common.engine.messages import MoreTokens
from common.obs.traces import Span
from common.types.ids import AttemptId
from decode_worker.session import RouterSession


@dataclass(slots=True)
class Delivery:
    """Where an attempt's tokens go, and which choices still run."""

    session: RouterSession
    stream: int
    choices: set[int]
    span: Span
    num_tokens: int = 0
    facts: dict[str, object] = field(default_factory=dict)


@dataclass(slots=True)
class SessionRows:
    """The rows of one session."""

    rows: list[int] = field(default_factory=list)
    streams: list[int] = field(default_factory=list)
    choices: list[int] = field(default_factory=list)
    first_indices: list[int] = field(default_factory=list)


class StretchDelivery:
    """Whose the rows of a stretch are, session by session; good for as long as nobody of it leaves."""

    def __init__(self, more: MoreTokens, deliveries: Mapping[AttemptId, Delivery]) -> None:
        self.ids = more.ids
        self._deliveries: list[Delivery] = []
        self._parts: dict[RouterSession, SessionRows] = {}
        self._num_steps = 0
        for row, (id, choice, index) in enumerate(zip(more.ids, more.choices, more.first_indices, strict=True)):
            delivery = deliveries.get(id)
            if delivery is None or choice not in delivery.choices:
                continue
            self._deliveries.append(delivery)
            part = self._parts.setdefault(delivery.session, SessionRows())
            part.rows.append(row)
            part.streams.append(delivery.stream)
            part.choices.append(choice)
            part.first_indices.append(index)

    def carry(self, more: MoreTokens) -> None:
        """One step's tokens, to each session in columns."""
        self._num_steps += 1
        for session, part in self._parts.items():
            whole = len(part.rows) == len(more.token_ids)
            token_ids = more.token_ids if whole else [more.token_ids[row] for row in part.rows]
            indices = [index + more.num_steps for index in part.first_indices]
            session.send_rows(part.streams, part.choices, indices, token_ids)
            session.flush()

    def leave(self) -> None:
        """Every delivery learns what went by; once."""
        for delivery in self._deliveries:
            delivery.num_tokens += self._num_steps
        self._num_steps = 0
