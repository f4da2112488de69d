"""Three kinds of error. Expected ones are typed and stand here; a lost peer ends an attempt; anything else is a bug.

Messages are fixed texts with facts filled in: safe to show to a client, never an exception's own text, a path or an
address.
"""

from dataclasses import dataclass


class BatonError(Exception):
    """Expected: mapped to a gRPC status in one table (`common/net/errors.py`)."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One field of a request that cannot be accepted, and why."""

    field: str
    description: str


class InvalidRequest(BatonError):
    """The request can never succeed as it stands."""

    def __init__(self, *violations: Violation) -> None:
        self.violations = violations
        super().__init__("; ".join(f"{v.field}: {v.description}" for v in violations))


def invalid(field: str, description: str) -> InvalidRequest:
    return InvalidRequest(Violation(field, description))


class ConstraintFailed(InvalidRequest):
    """The request's constraint was accepted, and yet cannot be enforced to the end of the answer."""

    def __init__(self) -> None:
        super().__init__(Violation("constraint", "cannot be enforced to the end of this answer"))


class NotFound(BatonError):
    """A model or member of that name is not known."""

    def __init__(self, kind: str, name: str, known: tuple[str, ...] = ()) -> None:
        self.kind, self.name, self.known = kind, name, known
        hint = f"; known: {', '.join(known[:8])}" if known else ""
        super().__init__(f"{kind} {name[:80]!r} is not known{hint}")


class Unauthenticated(BatonError):
    """The call came without a key, or with one nobody knows."""


class Forbidden(BatonError):
    """The key is sound, and not meant for this."""


class Overloaded(BatonError):
    """No room now; worth trying again after a while. `limit` names what was reached, in one word for counting."""

    def __init__(self, reason: str, retry_after_ms: int, limit: str = "requests") -> None:
        self.reason, self.retry_after_ms, self.limit = reason, retry_after_ms, limit
        super().__init__(reason)


class Unavailable(BatonError):
    """The fleet cannot serve this now: no member of a pool, or every attempt was lost."""

    def __init__(self, reason: str, leg: str, retry_after_ms: int = 1000) -> None:
        self.reason, self.leg, self.retry_after_ms = reason, leg, retry_after_ms
        super().__init__(reason)


class DeadlinePassed(BatonError):
    """The request's deadline passed; `leg` says where it was."""

    def __init__(self, leg: str) -> None:
        self.leg = leg
        super().__init__(f"the deadline passed during {leg}")


class Cancelled(BatonError):
    """The caller gave up, or was too slow a reader."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class StaleAttempt(BatonError):
    """A lower attempt number than one already seen, or another epoch than this process's."""

    def __init__(self, what: str) -> None:
        super().__init__(what)


class PeerLost(Exception):
    """A process this attempt depended on is gone: the attempt ends, the router retries."""

    def __init__(self, leg: str, member: str, detail: str) -> None:
        self.leg, self.member, self.detail = leg, member, detail
        super().__init__(f"{leg} {member}: {detail}")


class StartupError(BatonError):
    """A process cannot start: one sentence of cause, one of fix, printed last."""

    def __init__(self, cause: str, fix: str) -> None:
        self.cause, self.fix = cause, fix
        super().__init__(f"{cause}. {fix}" if fix else cause)


class ModelError(StartupError):
    """The model folder cannot be served."""
