"""What `baton keys` can be told. Frozen; resolved once, by `common/types/resolve.py`."""

from dataclasses import dataclass, field

from common.types.options import about

KEYS_FILE = "keys"


@dataclass(frozen=True, slots=True)
class KeysConfig:
    """Keys of a router's clients: make one, list them, or take one away. A running router reads the file again."""

    action: str = field(
        default="list", metadata=about("what to do", choices=("list", "new", "remove"), positional=True)
    )
    id: str = field(default="", metadata=about("whose key, for new and remove", positional=True))
    keys: str = field(default=KEYS_FILE, metadata=about("the file, as the router's --keys names it", "FILE"))
    admin: bool = field(default=False, metadata=about("new: the key may also do what operators do"))
    requests_per_min: int = field(default=0, metadata=about("new: most requests a minute; 0 is no limit", "N", least=0))
    tokens_per_min: int = field(default=0, metadata=about("new: most tokens a minute; 0 is no limit", "N", least=0))
    tenant: str = field(default="", metadata=about("new: keys of one tenant share prefix caches", "NAME"))
