"""A configuration as text: its help, one line a setting, and its running values as TOML without secrets."""

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from common.types.options import Option, format_size, options

WIDTH = 100


def help_text(cls: type, prog: str) -> str:
    """Usage of a process or verb, made to fit one screen; a group of settings shares its lines."""
    known = options(cls)
    positional = "".join(f" [{option.name.upper()}]" for option in known if option.positional)
    lines = [f"{prog}{positional} [--option value ...]", "", (cls.__doc__ or "").strip().split("\n")[0], ""]
    lines += [_line(option.name.upper(), option) for option in known if option.positional]
    lines += [_line(f"{option.flag} {_value(option)}", option) for option in known if not _apart(option)]
    lines += [f"  {'--config FILE':<34} TOML file of settings", f"  {'--print-config':<34} print the settings in force"]
    for group in sorted({option.group for option in known if option.group}):
        about = next(field.metadata for field in fields(cls) if field.name == group)
        lines += ["", f"{about['help']}:", *_wrap([_short(option) for option in known if option.group == group])]
    one = next(option for option in known if not _apart(option))
    lines += ["", f"Each option is also a BATON_* variable and a TOML key: {one.flag}, {one.variable}, {one.name}."]
    return "\n".join(lines) + "\n"


def toml_text(config: Any, sources: Mapping[str, str]) -> str:
    """The settings in force; readable by --config but for secrets, which are never shown."""
    lines = []
    for option in options(type(config)):
        holder = getattr(config, option.group) if option.group else config
        value = getattr(holder, option.name)
        source = sources.get(option.name, "default")
        if option.secret:
            lines.append(f"# {option.name} is {'set' if value else 'not set'} ({source})")
        elif not option.positional:
            lines.append(f"{option.name} = {_toml(option, value)}  # {source}")
    return "\n".join(lines) + "\n"


def shared_flags(config: Any, cls: type) -> tuple[str, ...]:
    """The settings of `config` that `cls` knows too, as flags; secrets are left to the environment."""
    known = {option.name for option in options(cls)}
    shared = [option for option in options(type(config)) if option.name in known and not option.group]
    return tuple(_flag(option, getattr(config, option.name)) for option in shared if not option.secret)


def _flag(option: Option, value: Any) -> str:
    if option.kind is bool:
        return option.flag if value else f"--no-{option.flag[2:]}"
    text = format_size(value) if option.size else ",".join(value) if option.kind is tuple else str(value)
    return f"{option.flag}={text}"


def _apart(option: Option) -> bool:
    return option.positional or bool(option.group)


def _value(option: Option) -> str:
    if option.kind is bool:
        return ""
    return option.value or "|".join(option.choices) or ("SIZE" if option.size else option.name.upper())


def _line(left: str, option: Option) -> str:
    right = option.help
    if option.choices and (option.positional or option.value) and option.kind is not tuple:
        right += f": {', '.join(option.choices)}"
    if option.kind is bool and option.default:
        right += f"; --no-{option.flag[2:]} does not"
    elif option.default and not option.required:
        right += f" ({_plain(option)})"
    return f"  {left:<34} {right}"


def _plain(option: Option) -> str:
    if option.size:
        return format_size(option.default)
    return ",".join(option.default) if option.kind is tuple else f"{option.default}"


def _short(option: Option) -> str:
    return f"{option.flag} {_value(option) if option.kind is str else f'{option.default:g}'}"


def _wrap(parts: list[str]) -> list[str]:
    lines = [" "]
    for part in parts:
        if len(lines[-1]) + 2 + len(part) > WIDTH:
            lines.append(" ")
        lines[-1] += " " + part + " "
    return [line.rstrip() for line in lines]


def _toml(option: Option, value: Any) -> str:
    if option.size:
        return json.dumps(format_size(value))
    if isinstance(value, tuple):
        return json.dumps(list(value), ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False)
