"""Help fits one screen; the printed configuration can be read back and holds no secret."""

import tomllib

import pytest

from common.types.config import CONFIGS, DoctorConfig, RouterConfig, UpConfig, WorkerConfig
from common.types.options import options
from common.types.resolve import read, resolve
from common.types.show import help_text, shared_flags, toml_text


@pytest.mark.parametrize("cls", CONFIGS)
def test_help_fits_one_screen(cls: type) -> None:
    lines = help_text(cls, "python -m prefill_worker").splitlines()
    assert len(lines) <= 40
    assert max(len(line) for line in lines) <= 110


@pytest.mark.parametrize("cls", CONFIGS)
def test_help_names_every_setting(cls: type) -> None:
    text = help_text(cls, "prog")
    for option in options(cls):
        assert (option.name.upper() if option.positional else option.flag) in text


def test_help_tells_defaults_and_choices() -> None:
    lines = help_text(UpConfig, "baton up")
    assert "prefill workers (1)" in lines
    assert "--devices cpu|cuda[:N],..." in lines
    assert "--no-pin does not" in lines
    assert "--lease-s 10" in help_text(WorkerConfig, "prog")


@pytest.mark.parametrize("cls", CONFIGS)
def test_help_gives_an_example_of_its_own(cls: type) -> None:
    flag = next(option.flag for option in options(cls) if not option.positional)
    assert f"a TOML key: {flag}, BATON_" in help_text(cls, "prog")


def test_sizes_are_shown_as_they_are_written() -> None:
    assert "(64MiB)" in help_text(DoctorConfig, "prog")


def test_printed_settings_are_read_back() -> None:
    argv = ["--model", 'a "b" ü', "--kv-memory", "3MiB", "--transports", "tcp", "--lease-s", "2.5", "--no-expose"]
    resolved = read(WorkerConfig, argv, {}, {})
    again = resolve(WorkerConfig, [], {}, tomllib.loads(toml_text(resolved.config, resolved.sources)))
    assert again == resolved.config


def test_secrets_are_never_shown() -> None:
    resolved = read(RouterConfig, ["--model", "m"], {"BATON_CACHE_KEY": "s3cret"}, {})
    text = toml_text(resolved.config, resolved.sources)
    assert "s3cret" not in text + repr(resolved.config)
    assert "# cache_key is set (BATON_CACHE_KEY)" in text
    assert resolved.config.cache_key == "s3cret"


@pytest.mark.parametrize("cls", CONFIGS)
def test_secrets_are_not_in_repr(cls: type) -> None:
    secrets = {option.name for option in options(cls) if option.secret}
    argv = ["--model", "m"] if any(option.required for option in options(cls)) else []
    assert not any(f"{name}=" in repr(resolve(cls, argv, {}, {})) for name in secrets)


def test_shared_settings_are_handed_on_as_flags() -> None:
    config = UpConfig(model="-m", kv_memory=3 << 20, expose=True, cache_key="s3cret", drain_s=2.5)
    flags = shared_flags(config, WorkerConfig)
    assert not any("s3cret" in flag or "pin" in flag for flag in flags)
    worker = resolve(WorkerConfig, flags, {}, {})
    assert (worker.model, worker.kv_memory, worker.expose) == ("-m", 3 << 20, True)
    assert worker.timeouts.drain_s == 2.5
    assert "--no-expose" in shared_flags(UpConfig(), RouterConfig)
