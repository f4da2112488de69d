"""The rules: functions from one file to its offences. `source.py` has what they look at, `test_rules.py` runs them."""

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatch

from tests.house.source import Function, Source, defined_names, dotted, imports, titles

FLOORS = {
    "common.types": 0,
    "baton.v1": 0,
    "common.kernels": 1,
    "common.cache": 1,
    "common.text": 1,
    "common.obs": 1,
    "common.models": 2,
    "common.net": 2,
    "baton": 2,
    "kvtransfer": 3,
    "common.engine": 3,
    "router": 4,
    "prefill_worker": 4,
    "decode_worker": 4,
    "baton.cli": 5,
    "baton.demo": 5,
    "loadtest": 5,
    "loadtest.bench": 5,
    "tests": 5,
    "deploy": 5,
}
ALSO = {"baton": {"common.net"}, "baton.cli": {"baton.demo", "loadtest.bench"}}

PURE = (
    "common/types/*",
    "common/cache/pool.py",
    "common/cache/prefix.py",
    "*/scheduler.py",
    "router/policy/*",
    "kvtransfer/handoff/*",
)
IMPURE_MODULES = {
    "torch",
    "triton",
    "grpc",
    "asyncio",
    "logging",
    "time",
    "threading",
    "socket",
    "subprocess",
    "random",
}
UNSAFE_MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
UNSAFE_CALLS = {"eval", "exec", "torch.load", "time.sleep", "os.system", "os.popen"}
ENVIRONMENT = {"os.environ", "os.getenv", "os.putenv", "os.environb"}
EMPTY_NAMES = {"manager", "handler", "helper", "helpers", "util", "utils", "base", "mixin", "info", "impl", "misc"}
SECOND_WORDS = {
    "page": "block",
    "pages": "blocks",
    "node": "member",
    "nodes": "members",
    "replica": "member",
    "replicas": "members",
    "instance": "member",
    "instances": "members",
    "migrate": "fetch",
    "migrated": "fetched",
    "migration": "hand-off",
}


def part(module: str) -> str:
    """The part of the house a module belongs to, or an empty text for a stranger's."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        if ".".join(parts[:length]) in FLOORS:
            return ".".join(parts[:length])
    return ""


def floors(source: Source) -> Iterator[str]:
    """Imports go downward, and never sideways but on the top floor."""
    own = part(source.module)
    for module, line in imports(source):
        other = part(module)
        if module.startswith("."):
            yield f"{source.path}:{line} imports {module!r}; write the whole name"
        elif other and other != own and other not in ALSO.get(own, ()):
            top = FLOORS[own] == FLOORS[other] == 5 and own != "baton.cli"
            if FLOORS[other] >= FLOORS[own] and not top:
                yield f"{source.path}:{line} on floor {FLOORS[own]} imports {module} of floor {FLOORS[other]}"


def purity(source: Source) -> Iterator[str]:
    """Files that decide know no device, clock, network or log."""
    if any(fnmatch(source.path, pattern) for pattern in PURE):
        for module, line in imports(source):
            if module.split(".")[0] in IMPURE_MODULES:
                yield f"{source.path}:{line} decides, and imports {module}"


def placement(source: Source) -> Iterator[str]:
    """Triton in kernels, wire messages at the edges, the environment in one place."""
    wire = ("common/net/*", "baton/client*", "*/service*.py", "*_worker/*", "router/*", "tests/*", "loadtest/*")
    for module, line in imports(source):
        if module.split(".")[0] == "triton" and not fnmatch(source.path, "*common/kernels/*"):
            yield f"{source.path}:{line} imports triton outside common/kernels"
        if re.fullmatch(r"baton\.v1\.\w+_pb2(_grpc)?", module) and not any(
            fnmatch(source.path, pattern) for pattern in wire
        ):
            yield f"{source.path}:{line} imports {module}; convert in common/net"
    for item in ast.walk(source.tree):
        reads = isinstance(item, ast.Attribute) and dotted(item) in ENVIRONMENT
        if reads and not source.path.startswith(("common/types/", "tests/")):
            yield f"{source.path}:{item.lineno} reads the environment; common/types/resolve.py does"  # type: ignore[attr-defined]


def bans(source: Source) -> Iterator[str]:
    """What no file may do."""
    for module, line in imports(source):
        if module.split(".")[0] in UNSAFE_MODULES:
            yield f"{source.path}:{line} imports {module}"
    for item in ast.walk(source.tree):
        if isinstance(item, ast.Call) and dotted(item.func) in UNSAFE_CALLS:
            yield f"{source.path}:{item.lineno} calls {dotted(item.func)}"
        if isinstance(item, ast.Raise) and "NotImplementedError" in ast.dump(item):
            yield f"{source.path}:{item.lineno} promises what it does not do"
        if isinstance(item, ast.ExceptHandler):
            broad = item.type is None or dotted(item.type) in ("Exception", "BaseException")
            if item.type is None or (broad and all(isinstance(step, (ast.Pass, ast.Continue)) for step in item.body)):
                yield f"{source.path}:{item.lineno} swallows every error"


def unfinished(source: Source) -> Iterator[str]:
    """Marks of work left undone, and ways out of the project."""
    out = r"\.\./" if not source.path.startswith("tests/") else "(?!)"
    marks = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", out, "/work" + "/", "/tmp" + "/baton/")))
    for number, line in enumerate(source.text.splitlines(), 1):
        if found := marks.search(line):
            yield f"{source.path}:{number} has {found[0]!r}"


def asserts(source: Source) -> Iterator[str]:
    """An assert states an invariant, in a function that says so; checks on input raise."""
    for function in ast.walk(source.tree):
        if isinstance(function, Function) and not function.name.strip("_").startswith("check"):
            for item in function.body:
                yield from (
                    f"{source.path}:{inner.lineno} asserts; raise a typed error, or move it to a check"
                    for inner in ast.walk(item)
                    if isinstance(inner, ast.Assert)
                )


def names(source: Source) -> Iterator[str]:
    """Names say what a thing holds or does."""
    for name, line in titles(source):
        for word in sorted(words_of(name) & EMPTY_NAMES) if not name.startswith("test_") else ():
            yield f"{source.path}:{line} {name}: {word!r} says nothing"
    for name, line in defined_names(source):
        if name.startswith("n_"):
            yield f"{source.path}:{line} {name}: counts are num_*"


def one_word(source: Source) -> Iterator[str]:
    """One noun, one name: the glossary's."""
    for name, line in defined_names(source):
        for word in sorted(words_of(name) & SECOND_WORDS.keys()):
            yield f"{source.path}:{line} {name}: say {SECOND_WORDS[word]!r}, not {word!r}"


def words_of(name: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def typed(source: Source) -> Iterator[str]:
    """Every argument and every result has a type."""
    for item in ast.walk(source.tree):
        if isinstance(item, Function):
            given = [*item.args.posonlyargs, *item.args.args, *item.args.kwonlyargs]
            given += [star for star in (item.args.vararg, item.args.kwarg) if star]
            bare = [arg.arg for arg in given if arg.annotation is None and arg.arg not in ("self", "cls")]
            if bare or item.returns is None:
                yield f"{source.path}:{item.lineno} {item.name}: no type for {', '.join(bare) or 'its result'}"


def documented(source: Source) -> Iterator[str]:
    """A file opens with what it owns."""
    if not ast.get_docstring(source.tree):
        yield f"{source.path} does not say what it owns"
