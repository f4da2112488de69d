"""A fleet started by `baton up`, with a tiny model that was given a chat template with tools and reasoning."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.addresses import free_address
from tests.house.source import ROOT
from tests.tiny import tiny_model

TEMPLATE = """{%- if tools -%}<|system|>Answer with <tool_call>{"name": ..., "arguments": ...}</tool_call>.
{%- for tool in tools %}
{{ tool | tojson }}{%- endfor -%}<|end|>{%- endif -%}
{%- for message in messages -%}<|{{ message.role }}|>{{ message.content }}
{%- for call in message.tool_calls -%}<tool_call>{{ call.function | tojson }}</tool_call>{%- endfor -%}<|end|>
{%- endfor -%}
{%- if add_generation_prompt -%}<|assistant|>
{{- '<think>\\n' if enable_thinking is true else '<think>\\n\\n</think>\\n\\n' }}{%- endif -%}"""
BASE = "qwen3"
UP = (sys.executable, "-m", "baton.cli.main", "up", "--kv-memory=64MiB")
ENDING_S = 60


@dataclass(frozen=True)
class Served:
    """Where it is served, and the model's folder."""

    url: str
    model: str
    folder: Path

    @property
    def v1(self) -> str:
        return f"{self.url}/v1"


@contextmanager
def served(*flags: str) -> Iterator[Served]:
    """With more flags of `baton up`, perhaps."""
    with tempfile.TemporaryDirectory(prefix="baton-clients-") as scratch:
        folder = Path(scratch) / "tiny"
        shutil.copytree(tiny_model(BASE), folder)
        (folder / "chat_template.jinja").write_text(TEMPLATE)
        places = {name: free_address() for name in ("grpc", "http", "fleet")}
        with subprocess.Popen(
            [*UP, f"--model={folder}", *(f"--{name}={place}" for name, place in places.items()), *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
            process_group=0,
        ) as process:
            reader = threading.Thread(target=_drain, args=(process,))
            try:
                _wait(process)
                reader.start()
                yield Served(f"http://{places['http']}", "tiny", folder)
            finally:
                _end(process)
                if reader.is_alive():
                    reader.join(ENDING_S)


def _wait(process: "subprocess.Popen[str]") -> None:
    """Until it says where clients connect to, and both workers are there; it says what is wrong too."""
    said: list[str] = []
    awaited = {"clients connect to", "joined member=prefill-0 ", "joined member=decode-0 "}
    for line in process.stdout or ():
        said.append(line)
        awaited -= {each for each in awaited if each in line}
        if not awaited:
            return
    raise RuntimeError("baton up ended:\n" + "".join(said))


def _drain(process: "subprocess.Popen[str]") -> None:
    """Reads on, or the fleet would wait for a reader of its log."""
    for _ in process.stdout or ():
        pass


def _end(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(ENDING_S)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
