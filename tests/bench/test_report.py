"""The page: complete, self-contained, and honest about what failed."""

from dataclasses import replace
from html.parser import HTMLParser

import pytest

from loadtest.bench.report import report
from loadtest.bench.result import result
from tests.bench.test_result import RECORDS, RUN


class Page(HTMLParser):
    """Open elements, figures, texts and references of a page."""

    VOID = {"meta", "line", "circle", "path"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.titles: list[str] = []
        self.references: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data + " "
        if self.open[-1:] == ["figcaption"]:
            self.titles.append(data)


def test_one_run() -> None:
    page = Page(report("Mine & yours", [result(RUN, RECORDS)]))
    assert page.open == ["html"] or page.open == []
    assert page.references == []
    assert "Mine & yours" in page.text
    assert "1 x HTTP 503" in page.text
    assert len(page.titles) == 6
    assert "http" not in page.text.lower().replace("http 503", "")


def test_dark_and_light() -> None:
    text = report("x", [result(RUN, RECORDS)])
    assert "prefers-color-scheme: dark" in text
    assert "<script" not in text


@pytest.mark.parametrize(
    ("changes", "axis"),
    [
        ([{"rate": "1"}, {"rate": "2"}], "requests/s asked for"),
        ([{"rate": "inf", "concurrency": 1}, {"rate": "inf", "concurrency": 8}], "requests at once"),
        ([{"rate": "1..3"}, {"rate": "2"}], "run"),
    ],
)
def test_a_sweep_is_drawn_along_what_was_varied(changes: list[dict[str, object]], axis: str) -> None:
    runs = [result(replace(RUN, **change), RECORDS) for change in changes]  # type: ignore[arg-type]
    page = Page(report("x", runs))
    assert "All runs" in page.text
    assert f" {axis} " in page.text
    assert len(page.titles) == 4 + 2 * 6


def test_a_run_in_which_nothing_completed() -> None:
    page = Page(report("x", [result(RUN, RECORDS[2:])]))
    assert page.titles == []
    assert "2 requests" in page.text
