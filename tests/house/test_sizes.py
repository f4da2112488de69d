"""Files stay small enough to be read at once, and tests keep up with what they test."""

from statistics import median

from tests.house.source import everything, product, sources


def test_file_sizes() -> None:
    sizes = sorted((source.num_lines, source.path) for source in everything() if source.num_lines > 1)
    assert [(path, num) for num, path in sizes if num > 350] == []
    assert median(num for num, _ in sizes) <= 150
    large = [(path, num) for num, path in sizes if num > 250]
    assert len(large) <= len(sizes) / 10, large


def test_tests_keep_up() -> None:
    num_product = sum(source.num_lines for source in product())
    num_tests = sum(source.num_lines for source in sources("tests"))
    assert num_tests >= 0.8 * num_product
