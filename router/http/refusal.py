"""The one table between errors and HTTP replies in OpenAI's shape.

| error | status | type | code |
|---|---|---|---|
| InvalidRequest | 400 | invalid_request_error | invalid_value, unknown_parameter, unsupported_parameter |
| NotFound | 404 | invalid_request_error | model_not_found |
| Unauthenticated | 401 | invalid_request_error | invalid_api_key |
| Forbidden | 403 | invalid_request_error | insufficient_permissions |
| Overloaded | 429 | rate_limit_error | overloaded, or rate_limit_exceeded for a key's own limit |
| Unavailable, PeerLost | 503 | service_unavailable_error | unavailable |
| DeadlinePassed | 504 | timeout_error | deadline_passed |
| Cancelled | 499 | cancelled_error | cancelled |
| anything else | 500 | server_error | internal_error, with `error_id` |

What HTTP itself refuses (`HttpRefusal`: no such path, wrong method, a body too large or too slow) brings its own row.
Nothing of the last row's text is shown; `error_id` finds it in the server's log.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from common.net.interceptors import expected_error
from common.types.errors import (
    BatonError,
    Cancelled,
    DeadlinePassed,
    Forbidden,
    InvalidRequest,
    NotFound,
    Overloaded,
    PeerLost,
    Unauthenticated,
    Unavailable,
)

INVALID = "invalid_request_error"
KEY_LIMITS = ("key_requests", "key_tokens")
NAMES = {"chat": "messages", "chat.messages": "messages", "chat.messages.role": "messages"}
"""Fields whose names differ between the wire of gRPC and this one; the prefix `sampling.` falls away."""


class HttpRefusal(BatonError):
    """Refused before it became a request. Fixed text."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        self.status, self.code, self.headers = status, code, dict(headers or {})
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Reply:
    """An error as a client meets it: a status line, or the `error` object of a stream's last event."""

    status: int
    type: str
    code: str
    message: str
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    error_id: str | None = None

    @property
    def body(self) -> bytes:
        error: dict[str, object] = {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.code,
        }
        if self.error_id is not None:
            error["error_id"] = self.error_id
        return json.dumps({"error": error}).encode()


def reply_to(error: Exception) -> Reply | None:
    """None for a bug."""
    match expected_error(error):
        case HttpRefusal() as refusal:
            return Reply(refusal.status, INVALID, refusal.code, str(refusal), headers=refusal.headers)
        case InvalidRequest() as wrong:
            return _invalid(wrong)
        case Unauthenticated() as unknown:
            return Reply(401, INVALID, "invalid_api_key", str(unknown), headers={"www-authenticate": "Bearer"})
        case Forbidden() as forbidden:
            return Reply(403, INVALID, "insufficient_permissions", str(forbidden))
        case NotFound() as missing:
            return Reply(404, INVALID, f"{missing.kind}_not_found", str(missing), param=missing.kind)
        case Overloaded() as full:
            headers = _retry_after(full.retry_after_ms)
            if full.limit in KEY_LIMITS:
                return Reply(429, "rate_limit_error", "rate_limit_exceeded", str(full), headers=headers)
            return Reply(429, "rate_limit_error", "overloaded", f"over capacity: {full}", headers=headers)
        case Unavailable() as away:
            return _unavailable(str(away), away.retry_after_ms)
        case PeerLost() as lost:
            return _unavailable(f"a member was lost during {lost.leg}", 1000)
        case DeadlinePassed() as late:
            return Reply(504, "timeout_error", "deadline_passed", str(late))
        case Cancelled() as left:
            return Reply(499, "cancelled_error", "cancelled", str(left))
        case _:
            return None


def bug_reply(error_id: str) -> Reply:
    text = "an internal error; the server's log has the details under this error_id"
    return Reply(500, "server_error", "internal_error", text, error_id=error_id)


def _invalid(error: InvalidRequest) -> Reply:
    """The first violation names `param`; the message tells of all."""
    shown = error.violations[:8]
    names = [_param(violation.field) for violation in shown]
    message = "; ".join(f"{name}: {violation.description}" for name, violation in zip(names, shown, strict=True))
    first = shown[0].description if shown else ""
    code = "invalid_value"
    if first.startswith("is not known"):
        code = "unknown_parameter"
    elif first.startswith("is not supported"):
        code = "unsupported_parameter"
    return Reply(400, INVALID, code, message[:1000], param=names[0] if names else None)


def _param(field: str) -> str:
    name = field.removeprefix("sampling.")
    return NAMES.get(name, name)[:160]


def _unavailable(message: str, retry_after_ms: int) -> Reply:
    headers = _retry_after(retry_after_ms)
    return Reply(503, "service_unavailable_error", "unavailable", message, headers=headers)


def _retry_after(milliseconds: int) -> dict[str, str]:
    """Whole seconds for everyone, and what the openai client reads first."""
    return {"retry-after": str(max(1, math.ceil(milliseconds / 1000))), "retry-after-ms": str(milliseconds)}
