"""Figures as the text that Prometheus and OpenMetrics scrapers read. Owns the format; knows no figure's origin."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from common.obs.latency import Counts
from common.obs.metrics import BY_NAME, LATENCY_BOUNDS, METRICS, TOKEN_BOUNDS, Kind, Metric

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
_FAMILIES: dict[Kind, type[Family]] = {
    Kind.COUNTER: CounterMetricFamily,
    Kind.GAUGE: GaugeMetricFamily,
    Kind.HISTOGRAM: HistogramMetricFamily,
}
_OF_TOKENS = ("itl_", "tpot_", "handoff_", "inter_token_", "per_output_token_")


@dataclass(frozen=True, slots=True)
class Sample:
    """The present value of one series of a listed metric; `labels` in the list's order."""

    name: str
    value: float | Counts
    labels: tuple[str, ...] = ()


def render(samples: Iterable[Sample], accept: str = "") -> tuple[bytes, str]:
    """The scrape and its content type, in the form the scraper prefers."""
    encoder, content_type = choose_encoder(accept)
    return encoder(registry(lambda: samples)), content_type


def registry(read: Callable[[], Iterable[Sample]]) -> CollectorRegistry:
    """What the library's own servers take: samples are read anew for every scrape."""
    made = CollectorRegistry(auto_describe=False)
    made.register(_Scrape(read))
    return made


class _Scrape(Collector):
    """A scrape's families, in the order of the list; a family without series is left out."""

    def __init__(self, read: Callable[[], Iterable[Sample]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Family]:
        by_name: dict[str, list[Sample]] = {}
        for sample in self._read():
            if len(sample.labels) != len(BY_NAME[sample.name].labels):
                raise ValueError(f"{sample.name} has the labels {BY_NAME[sample.name].labels}")
            by_name.setdefault(sample.name, []).append(sample)
        for metric in METRICS:
            if metric.name in by_name:
                yield _family(metric, by_name[metric.name])


def bounds_of(metric: Metric) -> tuple[float, ...]:
    """Upper bounds of a histogram's buckets: finer ones for what happens at every token."""
    return TOKEN_BOUNDS if any(part in metric.name for part in _OF_TOKENS) else LATENCY_BOUNDS


def _family(metric: Metric, samples: Iterable[Sample]) -> Family:
    family = _FAMILIES[metric.kind](metric.name, metric.help, labels=metric.labels)
    for sample in samples:
        if isinstance(family, HistogramMetricFamily):
            if not isinstance(sample.value, Counts):
                raise TypeError(f"{metric.name} is a histogram")
            bounds = bounds_of(metric)
            counts = [float(count) for count in sample.value.at_most(bounds)]
            buckets = [(_text(bound), count) for bound, count in zip(bounds, counts, strict=True)]
            family.add_metric(sample.labels, [*buckets, ("+Inf", float(sample.value.total))], sample.value.sum)
        elif isinstance(sample.value, Counts):
            raise TypeError(f"{metric.name} is no histogram")
        else:
            family.add_metric(sample.labels, sample.value)
    return family


def _text(bound: float) -> str:
    return str(float(bound))
