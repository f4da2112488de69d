"""Little stories about runners and what they carry, each put together from a few hundred sentences. Knows no tensor.

So that "Once upon a time" goes on in a way that a very small model can learn: plain words, one thing after another.
"""

import random
from dataclasses import dataclass

SHE = {"they": "she", "them": "her", "their": "her"}
HE = {"they": "he", "them": "him", "their": "his"}
NAMES = tuple(
    [(name, SHE) for name in ("Mara", "Lina", "Ada", "Nora", "Ruth", "Ines", "Clara", "Grete", "Hanna", "Vera")]
    + [(name, HE) for name in ("Tom", "Jonas", "Emil", "Oskar", "Paul", "Anton", "Felix", "Karl", "Hugo", "Max")]
)
WHO = ("runner", "messenger", "girl:boy", "young runner", "fast runner", "quiet runner", "baker", "sailor", "gardener")
WHERE = (
    "village",
    "town",
    "valley",
    "city by the sea",
    "house on a hill",
    "small harbour",
    "forest",
    "mountain village",
)
WHAT = (
    "wooden baton",
    "letter",
    "red baton",
    "small silver baton",
    "story",
    "basket of bread",
    "lantern",
    "song",
    "map",
)
OVER = (
    "the hills",
    "the river",
    "the old bridge",
    "the fields",
    "the snow",
    "the market square",
    "the long road",
    "the sand",
)
WEATHER = ("The sun was shining", "It was raining", "The wind was cold", "It had snowed all night", "It was a warm day")
FEELING = ("happy", "tired", "glad", "proud", "a little afraid", "very quiet", "hungry", "curious")
WHEN = ("One morning", "One day", "One evening", "The next morning", "In the spring", "Early one day", "At night")
OPENING = (
    "Once upon a time there was a {who} called {a}, who lived in a {where}.",
    "Once upon a time there was a {who} in a {where}. {They} was called {a}.",
    "Once upon a time, in a {where}, there lived a {who} called {a}.",
    "Once upon a time a {who} lived in a {where}. Everybody called {them} {a}.",
    "There was once a {who} called {a}. {They} lived in a {where}.",
    "Long ago, in a {where}, there was a {who} called {a}.",
    "{a} was a {who} from a {where}.",
)
HABIT = (
    "Every morning {they} carried a {what} over {over}.",
    "Every day {they} ran over {over} with a {what} in {their} hands.",
    "{They} had a {what}, and {they} never let it fall.",
    "{They} was not the fastest, and {they} was not the strongest, but {they} knew the way.",
    "{They} liked to run over {over} before the sun came up.",
    "Nobody knew where {their} {what} had come from.",
    "{Their} friend {b} always waited on the other side.",
)
TURN = (
    "{when} {a} met {b} near the bridge.",
    "{when} {they} came to {over}, and the way was closed.",
    "{when} {they} lost the {what} in the grass.",
    "{when} a storm came, and {they} could not see the road.",
    "{when} {b} did not come.",
    "{when} {they} heard a voice behind {them}.",
    "{weather}, and {they} was {feeling}.",
    "{weather}. {a} ran as fast as {they} could.",
)
SPEECH = (
    '"Where are you going?" asked {b}. "Over {over}," said {a}.',
    '"Will you help me?" asked {a}. "Of course," said {b}.',
    '"Give it to me," said {b}, "and I will carry it the rest of the way."',
    '"Do not be afraid," said {b}. "We will go together."',
    '"I am too slow," said {b}. "Then we will share the work," said {a}.',
    '"Have you seen my {what}?" asked {a}. "It is here," said {b}.',
    '"What do you carry?" asked {b}. "A {what}," said {a}.',
    '"It is late," said {b}. "But we are nearly there," said {a}.',
)
DEED = (
    "So {a} gave the {what} to {b}, and {b} ran on.",
    "They looked for it together, and in the evening they found it under a tree.",
    "{a} waited until the rain had stopped, and then {they} began again.",
    "{They} sat down under a tree and thought about it.",
    "{b} took the {what} and held it tight.",
    "Then they went over {over} together, one step after the other.",
    "{a} read the letter from the first word to the last, and then {they} gave it away.",
    "{They} took a deep breath and ran.",
    "The people of the {where} stood at the road and waved.",
    "One was fast and the other was patient, and so nobody had to wait.",
)
ENDING = (
    "When the sun went down they sat by the fire and were {feeling}.",
    "And {a} was {feeling} all the way home.",
    "From that day on {a} and {b} ran together.",
    "Tomorrow there would be another {what}, and it would be carried all the way, from hand to hand.",
    "And so nothing was lost.",
    "In the end the {what} came to where it belonged, and everybody was {feeling}.",
    "And if nobody has stopped them, they are running still.",
    "That night {a} slept well.",
)


@dataclass(frozen=True, slots=True)
class Cast:
    """Who and what a story is about: the words that stay the same from its first line to its last."""

    words: dict[str, str]

    def say(self, sentence: str, draw: random.Random) -> str:
        loose = {"over": OVER, "weather": WEATHER, "feeling": FEELING, "when": WHEN}
        return sentence.format(**self.words, **{name: draw.choice(choices) for name, choices in loose.items()})


def story(draw: random.Random) -> str:
    """One story of about a hundred words."""
    cast = _cast(draw)
    lines = [draw.choice(OPENING), *draw.sample(HABIT, draw.randint(1, 3)), *draw.sample(TURN, draw.randint(1, 2))]
    lines += draw.sample(SPEECH, draw.randint(0, 2))
    lines += [*draw.sample(DEED, draw.randint(1, 3)), *draw.sample(ENDING, draw.randint(1, 2))]
    return " ".join(cast.say(line, draw) for line in lines)


def _cast(draw: random.Random) -> Cast:
    (first, pronouns), (second, _) = draw.sample(NAMES, 2)
    who = draw.choice(WHO)
    female, _, male = who.partition(":")
    words = dict(pronouns) | {name.capitalize(): text.capitalize() for name, text in pronouns.items()}
    words |= {"a": first, "b": second, "where": draw.choice(WHERE), "what": draw.choice(WHAT)}
    words["who"] = male if male and pronouns is HE else female
    return Cast(words)
