"""Prompts: of the wanted length, new each time, alike only where they should be."""

from pathlib import Path

import pytest

from common.types.options import ConfigError
from loadtest.bench.prompts import FIRST_ID, AsIds, AsText, AsWords, Prompts
from tests.text.folders import build


def test_prompts_have_their_length_and_stay_inside_the_vocabulary() -> None:
    prompt = Prompts(0, 500, 1, 0).fresh(300)
    assert len(prompt) == 300
    assert FIRST_ID <= min(prompt) <= max(prompt) < 500


def test_a_tiny_vocabulary_will_do() -> None:
    assert set(Prompts(0, 2, 1, 0).fresh(9)) <= {0, 1}


def test_no_two_prompts_are_alike_and_a_seed_gives_them_again() -> None:
    one, other = Prompts(1, 500, 1, 0), Prompts(1, 500, 1, 0)
    first = one.fresh(50)
    assert first == other.fresh(50)
    assert first != one.fresh(50)
    assert first != Prompts(2, 500, 1, 0).fresh(50)


def test_prefixes_are_shared_and_come_before_the_rest() -> None:
    prompts = Prompts(0, 500, 3, 40)
    made = [prompts.fresh(10) for _ in range(60)]
    assert {len(prompt) for prompt in made} == {50}
    assert len({prompt[:40] for prompt in made}) == 3
    assert len({prompt[40:] for prompt in made}) == 60


def test_a_traces_hashes_stand_for_the_same_tokens_each_time() -> None:
    prompts = Prompts(0, 500, 1, 0)
    one, other = prompts.hashed((4, 5), 1000), prompts.hashed((4, 6), 1100)
    assert (len(one), len(other)) == (1000, 1100)
    assert one[:512] == other[:512]
    assert one[512:] != other[512:1000]
    assert Prompts(0, 500, 1, 0).hashed((4,), 512) == one[:512]


def test_wordings() -> None:
    assert AsIds().word((7, 8)) == ((7, 8), 2)
    text, count = AsWords().word((7, 8, 9))
    assert isinstance(text, str)
    assert (len(text.split()), count) == (3, 3)


def test_text_has_as_many_tokens_as_it_says(tmp_path: Path) -> None:
    wording = AsText(str(build("llama3", tmp_path / "model")))
    prompts = Prompts(0, wording.vocab_size, 1, 0)
    for length in (1, 20, 200):
        text, count = wording.word(prompts.fresh(length))
        assert isinstance(text, str)
        assert count == len(wording._tokenizer.encode(text, add_special_tokens=False).ids)
        assert abs(count - length) <= max(2, length // 20)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tokenizer\.json"):
        AsText(str(tmp_path))
