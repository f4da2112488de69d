"""The page around a report: whatever a server or a user is called stays text."""

from loadtest.bench.document import document, grid, heading, paragraph, plots, tiles

NASTY = "<b>&\"'"
SAFE = "&lt;b&gt;&amp;&quot;&#x27;"


def test_names_stay_text() -> None:
    for made in (
        heading(NASTY),
        paragraph(NASTY),
        tiles([(NASTY, "1")]),
        tiles([("x", NASTY)]),
        grid((NASTY,), [("x",)]),
        grid(("x",), [(NASTY,)]),
        document(NASTY, []),
    ):
        assert NASTY not in made
        assert SAFE in made


def test_a_table_has_its_cells_in_order() -> None:
    made = grid(("a", "b"), [("1", "2"), ("3", "4")])
    cells = [part.partition("<")[0] for part in made.split("<td>")[1:]]
    assert cells == ["1", "2", "3", "4"]
    assert made.count("<th>") == 2


def test_a_doubt_is_marked() -> None:
    assert paragraph("x", "doubt") == '<p class="doubt">x</p>'
    assert paragraph("x") == "<p>x</p>"


def test_levels_and_frames() -> None:
    assert heading("x", 1) == "<h1>x</h1>"
    assert plots(["<figure></figure>", ""]) == '<div class="plots"><figure></figure></div>'


def test_a_document_is_whole_and_alone() -> None:
    made = document("t", ["<p>body</p>"])
    assert made.startswith("<!doctype html>")
    assert made.endswith("</html>\n")
    assert "<style>" in made
    for outside in ("http:", "https:", "<script", "<link", "@import", "url("):
        assert outside not in made
