"""What `/fleet` says, as a page of text for a terminal: the advice, the speeds, the waits, and every member. Pure.

Figures that a router does not send stand as a dash: the page is of any version's.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

Seen = Mapping[str, Any]

TONES = {"down": "bold red", "short": "yellow", "odd": "magenta", "well": "green"}
LATENCIES = (("ttft_ms", "first token"), ("itl_ms", "between tokens"), ("e2e_ms", "whole answer"))
PERCENTILES = ("p50", "p90", "p99")
BAR_CELLS = 16
STEPS = " ▁▂▃▄▅▆▇█"
MEMBERS = ("member", "state", "running", "waiting", "KV blocks", "", "step", "prefill", "fetched", "prefix hits")


def glance(seen: Seen) -> Group:
    """The whole page, most important things first."""
    parts: list[RenderableType] = [_head(seen), *_advice(seen), Text(), _speeds(seen), Text(), _waits(seen)]
    for role in ("prefill", "decode"):
        members = [member for member in seen.get("members", ()) if member.get("role") == role]
        parts += [Text(), _pool(role, members)]
    return Group(*parts)


def _head(seen: Seen) -> Text:
    requests = seen.get("requests", {})
    state = Text("serving", "green") if seen.get("ready") else Text("not serving", "bold red")
    counts = f"   {_count(requests, 'running')} running, {_count(requests, 'waiting')} waiting"
    counts += f", {sum(requests.get('ended', {}).values())} ended, {_count(requests, 'retries')} tried again"
    return Text.assemble((str(seen.get("model", "?")), "bold"), "   ", state, counts)


def _advice(seen: Seen) -> Iterator[Text]:
    for each in seen.get("all_advice", ()):
        yield Text(str(each.get("text", "")), TONES.get(str(each.get("urgency")), ""))


def _speeds(seen: Seen) -> Table:
    rates, history = seen.get("rates", {}), seen.get("history", {})
    table = Table.grid(padding=(0, 3))
    table.add_row("prompt", _rate(rates.get("prompt_tokens_per_s"), "tokens/s"))
    table.add_row("output", _rate(rates.get("output_tokens_per_s"), "tokens/s"), sparkline(_series(history, "output")))
    table.add_row("hand-off", _bytes(rates.get("handoff_bytes_per_s")), sparkline(_series(history, "handoff")))
    return table


def _series(history: Seen, name: str) -> Sequence[float]:
    full = {"output": "output_tokens_per_s", "handoff": "handoff_bytes_per_s"}[name]
    return [float(value or 0) for value in history.get(full, ())]


def _waits(seen: Seen) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("last minute")
    for name in PERCENTILES:
        table.add_column(name, justify="right")
    for key, name in LATENCIES:
        found = seen.get("latency", {}).get(key, {})
        table.add_row(name, *(_ms(found.get(share)) for share in PERCENTILES))
    return table


def _pool(role: str, members: Sequence[Seen]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for index, name in enumerate(MEMBERS):
        table.add_column(role if index == 0 else name, justify="left" if index in (0, 1, 4) else "right", no_wrap=True)
    for member in sorted(members, key=lambda each: str(each.get("name"))):
        table.add_row(*_member(member))
    if not members:
        table.add_row(Text("none", "red"))
    return table


def _member(member: Seen) -> tuple[RenderableType, ...]:
    blocks, state = member.get("blocks", {}), str(member.get("state", "?"))
    held, total = blocks.get("owned", 0) + blocks.get("sealed", 0), blocks.get("total", 0)
    return (
        str(member.get("name", "?")),
        Text(state, "green" if state == "serving" else "yellow"),
        f"{_count(member, 'running')}/{_count(member, 'max_sequences')}",
        _count(member, "waiting"),
        bar(held, blocks.get("cached", 0), blocks.get("quarantined", 0), total),
        f"{held}/{total}",
        _ms(member.get("step_ms") or None),
        _rate(member.get("prefill_tokens_per_s") or None, "t/s"),
        _bytes(member.get("fetch_bytes_per_s") or None),
        _share(member.get("prefix_hit_share")),
    )


def bar(held: int, cached: int, quarantined: int, total: int) -> Text:
    """Blocks in use, kept as prefix cache, in quarantine, and free; what is there at all is seen."""
    text = Text()
    left = BAR_CELLS
    parts = [(held, "█", "cyan"), (quarantined, "▒", "red"), (cached, "▒", "blue")]
    parts = [part for part in parts if part[0] and total]
    for place, (number, mark, tone) in enumerate(parts, 1):
        num_after = len(parts) - place
        cells = min(left - num_after, max(1, round(BAR_CELLS * number / total)))
        text.append(mark * cells, tone)
        left -= cells
    return text.append("·" * left, "dim")


def sparkline(values: Sequence[float]) -> Text:
    """One character a value, the highest of them full."""
    most = max(values, default=0.0)
    cells = [STEPS[round((len(STEPS) - 1) * value / most)] if most else STEPS[0] for value in values]
    return Text("".join(cells), "cyan")


def _count(found: Seen, name: str) -> str:
    return str(found.get(name, "-"))


def _ms(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f} ms" if value < 1000 else f"{value / 1000:.2f} s"


def _rate(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{value:,.0f} {unit}"


def _bytes(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value / 1e9:.1f} GB/s" if value >= 1e9 else f"{value / 1e6:.1f} MB/s"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
