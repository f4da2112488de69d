"""Pictures for README: drawn from what the commands show, and fetching nothing."""

from pathlib import Path

from baton.client import Client
from common.types.sampling import FinishReason
from loadtest.pictures import QUESTIONS, chat, save
from tests.client.router import ScriptedInference, accepted, delta, done, serving


async def test_a_conversation_becomes_a_picture(tmp_path: Path) -> None:

    inference = ScriptedInference()
    inference.scripts = [[accepted(), delta("It is.", finish=FinishReason.STOP), done()] for _ in QUESTIONS]
    async with serving(inference) as target, Client(target) as client:
        console = await chat(client)
    save(console, "a title", tmp_path / "deep" / "chat.svg")
    drawn = (tmp_path / "deep" / "chat.svg").read_text()
    assert drawn.startswith("<svg")
    assert "a&#160;title" in drawn or "a title" in drawn
    assert drawn.count("It&#160;is.") == len(QUESTIONS)
    assert "@font-face" not in drawn
    assert "url(http" not in drawn
    assert len(inference.requests[-1].chat.messages) == 2 * len(QUESTIONS) - 1
