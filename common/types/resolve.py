"""Turns flags, BATON_* variables and a TOML file into one frozen configuration.

A flag wins over a variable, a variable over the file, the file over the default. A name that no configuration of Baton
knows is an error that names the nearest; one that only another process knows is left to it, so that a fleet can share
one file and one environment. The only place that reads the environment.
"""

import argparse
import os
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar, get_type_hints

from common.types.config import CONFIGS
from common.types.options import ConfigError, Option, options
from common.types.show import help_text, toml_text

T = TypeVar("T")
PREFIX = "BATON_"


@dataclass(frozen=True, slots=True)
class Resolved(Generic[T]):
    """A configuration, and for every setting where its value came from."""

    config: T
    sources: Mapping[str, str]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(message[:1].upper() + message[1:], "See --help")


def load(cls: type[T], prog: str, argv: Sequence[str] | None = None) -> T:
    """What a `main` calls: the configuration of this process. Serves --help and --print-config, which end it."""
    given = sys.argv[1:] if argv is None else list(argv)
    if "--help" in given or "-h" in given:
        sys.stdout.write(help_text(cls, prog))
        raise SystemExit(0)
    file = config_file(given, os.environ)
    resolved = read(cls, [arg for arg in given if arg != "--print-config"], os.environ, read_toml(file) if file else {})
    if "--print-config" in given:
        sys.stdout.write(toml_text(resolved.config, resolved.sources))
        raise SystemExit(0)
    return resolved.config


def resolve(cls: type[T], argv: Sequence[str], environ: Mapping[str, str], toml: Mapping[str, object]) -> T:
    """The configuration alone; everything it depends on is an argument."""
    return read(cls, argv, environ, toml).config


def read(cls: type[T], argv: Sequence[str], environ: Mapping[str, str], toml: Mapping[str, object]) -> Resolved[T]:
    """The configuration and where each value came from."""
    known = options(cls)
    everywhere = {option.name for other in (*CONFIGS, cls) for option in options(other) if not option.positional}
    secrets = {option.name for other in (*CONFIGS, cls) for option in options(other) if option.secret}
    named = everywhere | {"config"} | {name + "_file" for name in secrets}
    _check_names("variable", [PREFIX + name.upper() for name in named], _variables(environ))
    _check_names("key", sorted(everywhere), toml)
    flags = _flags(known, argv)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for option in known:
        raw, source = _pick(option, flags, environ, toml)
        sources[option.name] = source
        values[option.name] = option.default if source == "default" else option.parse(raw, source)
    return Resolved(_build(cls, known, values), sources)


def config_file(argv: Sequence[str], environ: Mapping[str, str]) -> str:
    """The file named by --config or BATON_CONFIG, or an empty text."""
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config", default=environ.get(PREFIX + "CONFIG", ""))
    return str(parser.parse_known_args(list(argv))[0].config)


def read_toml(path: str) -> dict[str, object]:
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(
            f"The configuration file {path} cannot be read: {error.strerror}", "Check --config"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"The configuration file {path} is not TOML: {error}", "Correct that line") from error


def child_environment(argv: Sequence[str], more: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process started by this one: its own and more, and the file its own --config named."""
    file = config_file(argv, os.environ)
    return {**os.environ, **more, **({PREFIX + "CONFIG": os.path.abspath(file)} if file else {})}


def traces_endpoint() -> str:
    """Where OpenTelemetry is told to send traces, in its own variables; empty when it is not."""
    return os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")


def cache_folder() -> Path:
    """Where this user keeps what can be made again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "baton"


def _pick(
    option: Option, flags: Mapping[str, object], environ: Mapping[str, str], toml: Mapping[str, object]
) -> tuple[object, str]:
    if option.name in flags:
        return flags[option.name], option.name if option.positional else option.flag
    if not option.positional and option.variable in environ:
        return environ[option.variable], option.variable
    if option.secret and option.variable + "_FILE" in environ:
        return _read_secret(environ[option.variable + "_FILE"]), option.variable + "_FILE"
    if not option.positional and option.name in toml:
        return toml[option.name], f"{option.name} in the configuration file"
    if option.required:
        fix = f"Give {option.flag} {option.value}, {option.variable}, or {option.name} = ... in the --config file"
        raise ConfigError(f"{option.name} is not set", fix)
    return None, "default"


def _read_secret(path: str) -> str:
    """Without the line's end that editors leave."""
    try:
        return Path(path).read_text().rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The secret in {path} cannot be read", "Check the file and who may read it") from error


def _flags(known: Sequence[Option], argv: Sequence[str]) -> dict[str, object]:
    parser = _Parser(add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    parser.add_argument("--config")
    for option in known:
        if option.positional:
            parser.add_argument(option.name, nargs="?")
        elif option.kind is bool:
            parser.add_argument(option.flag, dest=option.name, action=argparse.BooleanOptionalAction)
        else:
            parser.add_argument(option.flag, dest=option.name)
    found, unknown = parser.parse_known_args(list(argv))
    _check_names("argument", [option.flag for option in known if not option.positional] + ["--config"], unknown)
    return vars(found)


def _variables(environ: Mapping[str, str]) -> list[str]:
    return [name for name in environ if name.startswith(PREFIX)]


def _check_names(kind: str, known: Sequence[str], given: Sequence[str] | Mapping[str, object]) -> None:
    for name in given:
        plain = name.split("=", 1)[0]
        if name in known:
            continue
        nearest = get_close_matches(plain, known, 1)
        fix = f"Did you mean {nearest[0]}?" if nearest else "See --help"
        raise ConfigError(f"The {kind} {plain} is not known", fix)


def _build(cls: type[T], known: Sequence[Option], values: Mapping[str, Any]) -> T:
    arguments = {option.name: values[option.name] for option in known if not option.group}
    hints = get_type_hints(cls)
    for group in {option.group for option in known if option.group}:
        own = {option.name: values[option.name] for option in known if option.group == group}
        arguments[group] = hints[group](**own)
    return cls(**arguments)
