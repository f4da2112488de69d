"""Spans of one trace across processes, over OpenTelemetry where it is installed and asked for; nothing otherwise.

A span is made when something begins and told its facts when it ends; what happened inside is told afterwards, as legs
that ended so long ago. Owns the library, which is loaded only when it is used; knows no request.
"""

import logging
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_log = logging.getLogger("baton.traces")


@dataclass(frozen=True, slots=True)
class Leg:
    """A part of a span: how long before its end it began, and how long it took."""

    name: str
    began_s_ago: float
    lasted_s: float


class Span(Protocol):
    """Something that takes time. `traceparent` makes what another process does for it a part of it; may be empty."""

    @property
    def traceparent(self) -> str: ...

    def end(self, facts: Mapping[str, object], *, failed: str = "", legs: Sequence[Leg] = ()) -> None: ...


class Traces(Protocol):
    """Where spans come from."""

    def begin(self, name: str, parent: str = "") -> Span: ...

    def close(self) -> None:
        """What was not sent yet is sent now."""


class NoSpan:
    """Takes no time and leaves nothing."""

    traceparent = ""

    def end(self, facts: Mapping[str, object], *, failed: str = "", legs: Sequence[Leg] = ()) -> None:
        """Nobody listens."""


class NoTraces:
    """Tracing is off."""

    def begin(self, name: str, parent: str = "") -> Span:
        return NoSpan()

    def close(self) -> None:
        """There is nothing to send."""


class OtelTraces:
    """Spans for a tracer provider of OpenTelemetry's."""

    def __init__(self, provider: Any) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("baton")

    def begin(self, name: str, parent: str = "") -> Span:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        context = TraceContextTextMapPropagator().extract({"traceparent": parent}) if is_traceparent(parent) else None
        return _OtelSpan(self._tracer, self._tracer.start_span(name, context=context))

    def close(self) -> None:
        self._provider.shutdown()


class _OtelSpan:
    """An open span."""

    def __init__(self, tracer: Any, span: Any) -> None:
        self._tracer, self._span = tracer, span

    @property
    def traceparent(self) -> str:
        found = self._span.get_span_context()
        return f"00-{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags:02x}"

    def end(self, facts: Mapping[str, object], *, failed: str = "", legs: Sequence[Leg] = ()) -> None:
        from opentelemetry.trace import Status, StatusCode, set_span_in_context

        now = time.time_ns()
        inside = set_span_in_context(self._span)
        for leg in legs:
            began = now - round(1e9 * leg.began_s_ago)
            part = self._tracer.start_span(leg.name, context=inside, start_time=began)
            part.end(began + round(1e9 * leg.lasted_s))
        for name, value in facts.items():
            self._span.set_attribute(f"baton.{name}", value if isinstance(value, int | float | str) else str(value))
        if failed:
            self._span.set_status(Status(StatusCode.ERROR, failed))
        self._span.end(now)


def open_traces(endpoint: str, role: str) -> Traces:
    """To the collector that OpenTelemetry's own variables name; none without an endpoint."""
    if not endpoint:
        return NoTraces()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        _log.warning("traces are asked for, and their packages are missing: pip install 'baton[otel]'")
        return NoTraces()
    provider = TracerProvider(resource=Resource.create({"service.name": f"baton-{role}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _log.info("traces are sent")
    return OtelTraces(provider)


def is_traceparent(text: str) -> bool:
    """Whether it is one of W3C's trace context, version 00."""
    return _TRACEPARENT.fullmatch(text) is not None
