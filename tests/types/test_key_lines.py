"""Lines of a key file as people get them wrong: each is refused for its own reason, and the hash is not repeated."""

import pytest

from common.types.keys import BadKeyLine, Key, digest_of, line_of, parse_keys

HASH = digest_of("x").hex()


BAD = {
    f"-a sha256:{HASH}": "begins with no id",
    f"{'a' * 65} sha256:{HASH}": "begins with no id",
    f"ä sha256:{HASH}": "begins with no id",
    "a": "no hash",
    f"a {HASH}": "no hash",
    f"a sha256:{HASH[:-1]}": "no hash",
    f"a sha256:{HASH.upper()}": "no hash",
    f"a sha512:{HASH}": "no hash",
    f"a sha256:{HASH} admin=yes": "admin takes no value",
    f"a sha256:{HASH} admin=": "admin takes no value",
    f"a sha256:{HASH} admin admin": "one twice",
    f"a sha256:{HASH} requests=1 requests=2": "one twice",
    f"a sha256:{HASH} root": "an option that is not",
    f"a sha256:{HASH} Admin": "an option that is not",
    f"a sha256:{HASH} requests=": "no whole number",
    f"a sha256:{HASH} requests=-1": "no whole number",
    f"a sha256:{HASH} requests=1.5": "no whole number",
    f"a sha256:{HASH} tokens=1e6": "no whole number",
    f"a sha256:{HASH} tokens=٣": "no whole number",
    f"a sha256:{HASH} tokens=1000000000000": "no whole number",
    f"a sha256:{HASH} tenant=": "a name like an id",
    f"a sha256:{HASH} tenant=a/b": "a name like an id",
    f"a sha256:{HASH} requests = 5": "an option that is not",
}


@pytest.mark.parametrize("line", BAD)
def test_a_line_that_means_nothing_is_told_why(line: str) -> None:
    with pytest.raises(BadKeyLine, match=BAD[line]) as caught:
        parse_keys(f"\n{line}\n")
    assert caught.value.number == 2
    assert HASH not in str(caught.value)


def test_lines_as_editors_leave_them() -> None:
    text = f"\r\n  a\tsha256:{HASH}   requests=5 # why\r\n#b sha256:{HASH}\r\n{line_of(Key('c', digest_of('c')))}"
    found = parse_keys(text)
    assert [(each.id, each.requests_per_min) for each in found] == [("a", 5), ("c", 0)]
