"""The list of metrics as a document: `python -m common.obs.metrics_table > docs/metrics.md`."""

import sys
from collections.abc import Iterable

from common.obs.metrics import METRICS, Fed, Metric

_HEAD = """# Metrics

One scrape of the router's `/metrics` shows the router and every member of its fleet; a member that leaves takes its
series with it. `--metrics HOST:PORT` on a worker serves that worker's own figures too. Names are frozen: new ones come,
none is renamed. Where keys are on, the router's scrape takes an admin key, and a worker's own takes none. This is made
from the list in `common/obs/metrics.py`.

Durations are in seconds, on the router's clock unless they are a member's. Counters start at zero with their process.

* Share of a step outside kernels:
  `sum by (member) (rate(baton_member_step_seconds_total{where="outside"}[1m]))` over
  `sum by (member) (rate(baton_member_step_seconds_total[1m]))`
* Prefix hits: `rate(baton_cached_tokens_total[5m]) / rate(baton_prompt_tokens_total[5m])`
* Hand-off bandwidth: `sum by (member) (rate(baton_member_fetch_bytes_total[1m]))`
"""
_ALIASES = """
Under the names that dashboards, autoscalers and load tools of the field look for:
"""


def document() -> str:
    """All of it."""
    own = [metric for metric in METRICS if metric.name.startswith("baton_")]
    aliases = [metric for metric in METRICS if metric not in own]
    return "\n".join(
        (
            _HEAD,
            "## Of the router\n",
            *_table(metric for metric in own if metric.fed is Fed.ROUTER),
            "\n## Of each member\n",
            *_table(metric for metric in own if metric.fed is Fed.MEMBER),
            "\n## Aliases",
            _ALIASES,
            *_table(aliases),
            "",
        )
    )


def _table(metrics: Iterable[Metric]) -> list[str]:
    head = ["| name | type | labels | what |", "|---|---|---|---|"]
    return head + [
        f"| `{metric.name}` | {metric.kind.value} | {', '.join(metric.labels)} | {metric.help} |" for metric in metrics
    ]


if __name__ == "__main__":
    sys.stdout.write(document())
