"""Where a value comes from, and what is refused."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from common.types.config import AskConfig, PoolConfig, RouterConfig, UpConfig, WorkerConfig
from common.types.options import ConfigError
from common.types.resolve import child_environment, load, read, read_toml, resolve
from common.types.timeouts import Timeouts

MODEL = ("--model", "m")
NONE: Mapping[str, Any] = {}


def worker(*argv: str, environ: Mapping[str, str] = NONE, toml: Mapping[str, object] = NONE) -> WorkerConfig:
    return resolve(WorkerConfig, (*MODEL, *argv), environ, toml)


def test_defaults() -> None:
    assert worker() == WorkerConfig("m")
    assert worker().timeouts == Timeouts()


def test_precedence() -> None:
    environ, toml = {"BATON_TOKEN_BUDGET": "2"}, {"token_budget": 3}
    assert worker("--token-budget", "1", environ=environ, toml=toml).token_budget == 1
    assert worker(environ=environ, toml=toml).token_budget == 2
    assert worker(toml=toml).token_budget == 3


def test_sources_are_told() -> None:
    resolved = read(WorkerConfig, [*MODEL], {"BATON_NAME": "n"}, {"cores": "1"})
    assert resolved.sources["model"] == "--model"
    assert resolved.sources["name"] == "BATON_NAME"
    assert resolved.sources["cores"] == "cores in the configuration file"
    assert resolved.sources["threads"] == "default"


def test_groups_are_options_of_the_same_level() -> None:
    config = worker("--lease-s", "3", "--landed-tries=7", environ={"BATON_DRAIN_S": "1.5"}, toml={"fence_s": 2})
    assert config.timeouts == replace(Timeouts(), lease_s=3.0, landed_tries=7, drain_s=1.5, fence_s=2.0)


def test_a_goal_is_at_least_nought() -> None:
    assert worker(environ={"BATON_TPOT_GOAL_MS": "0"}).timeouts.tpot_goal_ms == 0
    with pytest.raises(ConfigError, match="It must be at least 0"):
        worker("--ttft-goal-ms", "-1")


def test_booleans() -> None:
    assert resolve(UpConfig, ["--no-pin"], NONE, NONE).pin is False
    assert resolve(UpConfig, ["--pin"], {"BATON_PIN": "no"}, NONE).pin is True
    assert resolve(UpConfig, [], {"BATON_PIN": "no"}, NONE).pin is False


def test_positional_arguments_come_from_the_command_line_alone() -> None:
    assert resolve(AskConfig, ["say it", "--seed", "-1"], NONE, NONE).prompt == "say it"
    assert resolve(PoolConfig, ["drain", "decode-0"], NONE, NONE).member == "decode-0"
    with pytest.raises(ConfigError, match="BATON_PROMPT is not known"):
        resolve(AskConfig, [], {"BATON_PROMPT": "x"}, NONE)
    with pytest.raises(ConfigError, match="Choose one of list, drain, resume"):
        resolve(PoolConfig, ["stop"], NONE, NONE)


@pytest.mark.parametrize(
    ("argv", "environ", "toml", "text"),
    [
        (["--modle", "m"], NONE, NONE, "The argument --modle is not known. Did you mean --model?"),
        (["--lease", "1"], NONE, NONE, "Did you mean --lease-s?"),
        (["stray"], NONE, NONE, "The argument stray is not known"),
        (["--threads"], NONE, NONE, "--threads"),
        ([], {"BATON_LEASES": "1"}, NONE, "The variable BATON_LEASES is not known. Did you mean BATON_LEASE_S?"),
        ([], NONE, {"kv_memroy": "1"}, "The key kv_memroy is not known. Did you mean kv_memory?"),
        ([], {"BATON_THREADS": "many"}, NONE, "BATON_THREADS is 'many'. It must be a whole number"),
        ([], NONE, {"threads": "many"}, "threads in the configuration file is 'many'"),
        ([], NONE, {"router": {"grpc": "x"}}, "The key router is not known"),
    ],
)
def test_refusals_name_the_nearest(
    argv: list[str], environ: Mapping[str, str], toml: Mapping[str, object], text: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        worker(*argv, environ=environ, toml=toml)
    assert text in str(caught.value)


def test_what_another_process_knows_is_left_to_it() -> None:
    assert worker(environ={"BATON_PREFILL": "2", "PATH": "x"}, toml={"max_queue_tokens": 5}) == WorkerConfig("m")


def test_what_must_be_set_says_how() -> None:
    with pytest.raises(ConfigError, match=r"--model DIR, BATON_MODEL, or model = \.\.\."):
        resolve(RouterConfig, [], NONE, NONE)


def test_load_reads_the_file_the_flag_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "baton.toml"
    file.write_text('model = "m"\nthreads = 3\n')
    monkeypatch.setenv("BATON_CONFIG", "/nowhere/else.toml")
    assert load(WorkerConfig, "prog", ["--config", str(file)]).threads == 3


def test_load_reads_the_file_the_variable_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "baton.toml"
    file.write_text('model = "m"\n')
    monkeypatch.setenv("BATON_CONFIG", str(file))
    assert load(WorkerConfig, "prog", []).model == "m"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_toml(str(tmp_path / "none.toml"))
    (tmp_path / "bad.toml").write_text("model = ")
    with pytest.raises(ConfigError, match="is not TOML"):
        read_toml(str(tmp_path / "bad.toml"))


def test_help_and_print_config_end_the_process(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        load(WorkerConfig, "python -m prefill_worker", ["--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("python -m prefill_worker [--option value ...]")
    with pytest.raises(SystemExit):
        load(WorkerConfig, "prog", [*MODEL, "--print-config"])
    assert 'model = "m"  # --model' in capsys.readouterr().out


def test_a_childs_environment_is_ours_and_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_THREADS", "3")
    environment = child_environment(["--model", "m", "--config", "/a/b.toml"], {"BATON_NAME": "n"})
    assert (environment["BATON_THREADS"], environment["BATON_NAME"]) == ("3", "n")
    assert environment["BATON_CONFIG"] == "/a/b.toml"
    assert "BATON_CONFIG" not in child_environment([], {})


def test_a_secret_may_lie_in_a_file_that_a_variable_names(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("hush\n")
    found = resolve(WorkerConfig, ["--model=m"], {"BATON_CACHE_KEY_FILE": str(path)}, {})
    assert found.cache_key == "hush"
    named = {"BATON_CACHE_KEY_FILE": str(path), "BATON_CACHE_KEY": "said"}
    assert resolve(WorkerConfig, ["--model=m"], named, {}).cache_key == "said"
    with pytest.raises(ConfigError, match="cannot be read"):
        resolve(WorkerConfig, ["--model=m"], {"BATON_CACHE_KEY_FILE": str(tmp_path / "none")}, {})
    with pytest.raises(ConfigError, match="BATON_MODEL_FILE"):
        resolve(WorkerConfig, ["--model=m"], {"BATON_MODEL_FILE": str(path)}, {})
