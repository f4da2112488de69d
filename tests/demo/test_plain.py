"""reST read aloud, piece by piece; and the loss curve, point by point."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from baton.demo.corpus import LEAST_CHARS, MOST_FILE_CHARS, code, docstrings, documentation, plain
from baton.demo.curve import COLOURS, HEIGHT, MARGIN, WIDTH, draw


@pytest.mark.parametrize(
    ("rest", "read"),
    [
        ("plain words", "plain words"),
        ("see :func:`len`", "see len"),
        ("see :py:meth:`~list.append`", "see list.append"),
        ("see :func:`!len`", "see len"),
        ("see :ref:`the guide <guide-label>`", "see the guide"),
        ("a `link <https://x.y>`_ here", "a link here"),
        ("a `link <https://x.y>`__ here", "a link here"),
        ("``code`` stays", "``code`` stays"),
        ("Title\n=====\n\ntext", "Title\n\ntext"),
        ("Title\n===\n\ntext", "Title\n===\n\ntext"),
        (".. note:: mind\n\n   the gap", "the gap"),
        (".. function:: f(x)\n\n   Does it.", "f(x)\n\n   Does it."),
        (".. py:data:: X\n\n   Is it.", "X\n\n   Is it."),
        (".. index::\n   single: a\n\nafter", "after"),
        (".. _label:\n\nafter", "after"),
        (".. a comment\n   over lines\n\nafter", "after"),
        ("before\n\n.. versionadded:: 3.1\n   the word\n\n   more\n\nafter", "before\n\nafter"),
        ("a\n\n\n\n\nb", "a\n\nb"),
        ("trailing   \nblanks\t", "trailing\nblanks"),
        ("", ""),
    ],
)
def test_rest_read_aloud(rest: str, read: str) -> None:
    assert plain(rest) == read


def test_plain_text_stays_as_it_is_when_read_again() -> None:
    text = "Sorting\n\nUse sorted(x) for a list.\n\n   Indented.\n\nMore."
    assert plain(text) == text == plain(plain(text))


def test_a_chapter_too_short_to_say_anything_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "tutorial").mkdir()
    (tmp_path / "tutorial" / "a.rst.txt").write_text("x" * (LEAST_CHARS - 1))
    (tmp_path / "tutorial" / "b.rst.txt").write_text("y" * LEAST_CHARS)
    (tmp_path / "tutorial" / "c.html").write_text("z" * LEAST_CHARS)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "d.rst.txt").write_text("w" * LEAST_CHARS)
    assert list(documentation(tmp_path)) == ["y" * LEAST_CHARS]


@pytest.mark.parametrize(
    ("size", "taken"), [(LEAST_CHARS - 1, 0), (LEAST_CHARS, 1), (MOST_FILE_CHARS, 1), (MOST_FILE_CHARS + 1, 0)]
)
def test_sources_of_a_fitting_size_are_taken(size: int, taken: int, tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text("#" * (size - 1) + "\n")
    assert len(list(code(tmp_path))) == taken


@pytest.mark.parametrize("folder", ["test", "site-packages", "json/tests"])
def test_what_is_no_library_is_skipped(folder: str, tmp_path: Path) -> None:
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "m.py").write_text('"""' + "Words of a test. " * 30 + '"""\n')
    assert list(docstrings(tmp_path)) == []


def test_docstrings_of_all_levels_are_in_order_and_short_ones_are_not(tmp_path: Path) -> None:
    first, second, third = (f"The {name} docstring. " * 6 for name in ("module's", "class's", "method's"))
    method = f'    async def f(self):\n        """{third}"""\n    def g(self):\n        """Short."""\n'
    (tmp_path / "m.py").write_text(f'"""{first}"""\nclass A:\n    """{second}"""\n{method}')
    (text,) = docstrings(tmp_path)
    assert [part.strip() for part in text.split("\n\n")] == [first.strip(), second.strip(), third.strip()]


TABLE = "step,tokens,seconds,loss,docs,talks\n20,1,1,8.0,,\n40,2,2,4.0,6.0,\n80,3,3,2.0,4.0,1.0\n"


def test_a_curve_is_well_formed_and_its_points_lie_in_the_frame() -> None:
    root = ElementTree.fromstring(draw(TABLE))
    lines = [each.attrib["points"].split() for each in root.iter() if each.tag.endswith("polyline")]
    assert [len(line) for line in lines] == [3, 2, 1]
    for line in lines:
        for point in line:
            x, y = map(float, point.split(","))
            assert MARGIN <= x <= WIDTH - MARGIN
            assert MARGIN <= y <= HEIGHT - MARGIN


def test_the_highest_loss_is_at_the_top_and_the_last_step_at_the_right() -> None:
    training = re.findall(r'points="([^"]+)"', draw(TABLE))[0].split()
    assert training[0].endswith(f",{MARGIN:.1f}")
    assert training[-1].startswith(f"{WIDTH - MARGIN:.1f},")


def test_every_line_has_its_colour_and_name() -> None:
    svg = draw(TABLE)
    for name, colour in zip(("training", "docs, kept back", "talks, kept back"), COLOURS, strict=False):
        assert f'fill="{colour}">{name}</text>' in svg
        assert f'stroke="{colour}"' in svg


@pytest.mark.parametrize("table", ["", "step,tokens,seconds,loss\n", "step,tokens,seconds,loss\n20,1,1,\n"])
def test_no_losses_are_refused(table: str) -> None:
    with pytest.raises(ValueError, match="no losses"):
        draw(table)
