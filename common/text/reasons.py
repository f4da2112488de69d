"""What a client is told of a constraint that does not compile: fixed texts, with places and known words filled in.

The compiler's own messages quote grammars and tokens; of them only what the tables here pick out goes on.
"""

import re

_TABLE = (
    (r"look-?around|lookarounds", "uses look-around, a word boundary or an anchor inside, which cannot be enforced"),
    (r"backreferences", "uses back-references, which cannot be enforced"),
    (r"Unknown format", "names a format that cannot be enforced"),
    (r"oneOf constraints", "has a oneOf whose branches are not known to exclude each other: use anyOf"),
    (r"Unsatisfiable|NoExtension|no valid tokens", "can be met by no text"),
    (r"retriev|Pointer|registry|Unknown specification", "refers to a schema that is not within it"),
    (r"Invalid type", "names a type that JSON does not have"),
    (r"unknown special token", "names a special token that the model does not have"),
    (r"unknown name|unknown grammar|Unknown common regex", "refers to a name that it does not define"),
    (r"too many|too big|too large|too complex|TooComplex|max is|exceeded|limit|fuel", "is too large to be enforced"),
    (r"regex parse error|invalid regex", "holds what is no regular expression"),
    (r"lexer error|Expected token|Empty grammar|parse error", "is not a grammar in Lark's syntax"),
    (r"must be|Expected|expected|[Ii]nvalid", "holds a keyword with a value it cannot have"),
)
_PLACE = re.compile(r"^(?:at )?(\d{1,7})\((\d{1,7})\)")


def reason_of(message: str, *, own_lines: bool) -> str:
    """`own_lines` says that the compiler's line numbers are those of the request's text."""
    found = re.search(r'Unimplemented keys: \[("[^\]]*")\]', message)
    if found is not None:
        words = re.findall(r'"(\$?[a-zA-Z]{1,24})"', found[1])[:8]
        return "uses keywords that cannot be enforced" + (f": {', '.join(words)}" if words else "")
    reason = next((text for pattern, text in _TABLE if re.search(pattern, message)), "cannot be compiled")
    place = _PLACE.match(message)
    if own_lines and place is not None:
        return f"{reason} (line {place[1]}, column {place[2]})"
    return reason
