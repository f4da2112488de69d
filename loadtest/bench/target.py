"""What is measured, as the driver sees it: something that takes a planned request and notes what came back."""

from dataclasses import dataclass
from typing import Protocol

from loadtest.bench.record import Planned, Record


@dataclass(frozen=True, slots=True)
class Served:
    """What the server says of itself; a vocabulary of 0 is not known. Most that are not ready say nothing at all."""

    model_id: str
    vocab_size: int = 0
    ready: bool = True


class Target(Protocol):
    """A server under load. Owns its connections."""

    backend: str

    async def served(self) -> Served:
        """Asks which model is there; raises when nothing answers."""
        ...

    async def send(self, planned: Planned, record: Record) -> None:
        """Sends it and fills the record until the answer ends; failures are a kind in the record, never raised."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Asking:
    """What every request of a run has in common."""

    model_id: str = ""
    api_key: str = ""
    temperature: float = 0.0
    ignore_eos: bool = True
    deadline_s: float = 600.0
    seed: int = 0
    texts: bool = False
