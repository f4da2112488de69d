"""The model that comes with Baton, served by Baton: it is small, it is whole, it answers, and its words are words."""

import json
import re
from pathlib import Path

from baton.demo import MODEL
from baton.demo.pairs import read_facts
from baton.demo.quiz import held_questions, quiz
from baton.demo.ship import MOST_BYTES
from common.types.config import WorkerConfig
from tests.system.cluster import cluster

WORKER = WorkerConfig(model="", num_blocks=512, token_budget=256, max_sequences=16)
EVERY = 3
LEAST_SHARE = 0.6
"""Of the questions it never learned; `baton/demo/README.md` has the figure for all of them."""


def test_it_is_small_and_whole() -> None:
    assert sum(file.stat().st_size for file in MODEL.iterdir()) <= MOST_BYTES
    assert {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    } <= {file.name for file in MODEL.iterdir()}
    assert json.loads((MODEL / "config.json").read_text())["architectures"] == ["LlamaForCausalLM"]


async def test_it_answers_questions_about_baton() -> None:
    facts = read_facts()
    learned = [(fact.questions[0], fact.keys) for fact in facts if fact.questions][::EVERY]
    async with cluster(MODEL, worker=WORKER) as fleet:
        known = [asked async for asked in quiz(fleet.client, learned)]
        held = [asked async for asked in quiz(fleet.client, held_questions(facts)[::EVERY])]
    assert sum(asked.right for asked in known) >= 0.95 * len(known), [asked for asked in known if not asked.right]
    assert sum(asked.right for asked in held) >= LEAST_SHARE * len(held), [asked for asked in held if not asked.right]


async def test_what_it_goes_on_with_is_made_of_words() -> None:
    words = _words_of(Path(__file__).parents[2] / "baton" / "demo")
    async with cluster(MODEL, worker=WORKER) as fleet:
        completion = await fleet.client.complete("Once upon a time", temperature=0.0, max_tokens=100)
    told = re.findall(r"[a-z]+", completion.text.lower())
    assert len(told) > 30
    assert sum(word in words for word in told) > 0.95 * len(told), completion.text


def _words_of(folder: Path) -> set[str]:
    """Every word of the files that stories are made from."""
    return set(re.findall(r"[a-z]+", (folder / "stories.py").read_text().lower()))
