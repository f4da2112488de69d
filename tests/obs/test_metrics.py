"""The list of metrics: frozen names, sound entries, and a document that says the same."""

from common.obs.metrics import METRICS, Fed, Kind
from common.obs.metrics_table import document
from tests.house.source import ROOT

FROZEN = ROOT / "tests" / "obs" / "metric_names.txt"


def test_no_name_is_ever_taken_away() -> None:
    """Add new ones to the file; never remove or rename one."""
    assert [metric.name for metric in METRICS] == FROZEN.read_text().split()


def test_entries_are_sound() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert (metric.kind is Kind.COUNTER) == metric.name.endswith("_total"), metric
        assert metric.help, metric
        assert (metric.fed is Fed.MEMBER) == (metric.labels[:2] == ("member", "role")), metric
        if metric.unit == "seconds":
            assert "second" in metric.name, metric


def test_the_document_is_made_from_the_list() -> None:
    made = (ROOT / "docs" / "metrics.md").read_text()
    assert made == document(), "run python -m common.obs.metrics_table > docs/metrics.md"
