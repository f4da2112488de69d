"""Says a question in other words: synonyms, words left out or put in, careless writing. Pure.

A small model learns a question by heart unless it hears it in ever new forms: only its telling words should count.
"""

import random
from collections.abc import Sequence

GROUPS = (
    ("explain", "describe", "define", "clarify"),
    ("start", "launch", "begin", "run"),
    ("show", "list", "display", "print"),
    ("see", "look at", "view", "find"),
    ("machine", "computer", "host", "laptop"),
    ("option", "flag", "setting", "parameter"),
    ("folder", "directory", "place"),
    ("answer", "reply", "response"),
    ("stop", "end", "interrupt", "halt"),
    ("remove", "delete", "drop"),
    ("make", "create", "build"),
    ("choose", "pick", "select", "decide on"),
    ("reach", "call", "connect to", "talk to"),
    ("crashes", "dies", "fails", "is killed", "crashed", "disappears"),
    ("dies", "crashes", "is lost", "is gone"),
    ("happens", "occurs", "becomes of it"),
    ("supported", "available", "possible"),
    ("large", "big", "many"),
    ("use", "work with", "try"),
    ("why", "for what reason", "what is the reason that"),
    ("how", "in what way", "by what means"),
    ("what", "which"),
    ("quick", "fast"),
    ("slow", "late", "takes long"),
    ("get", "receive", "obtain", "have"),
    ("know", "tell", "say"),
    ("measure", "benchmark", "test"),
    ("need", "require", "expect"),
    ("worker", "process", "worker process"),
    ("workers", "processes"),
    ("between", "among"),
    ("does", "will", "would"),
    ("do", "can", "should", "must"),
    ("good", "useful", "meant"),
)
OTHERS: dict[str, tuple[str, ...]] = {}
for _group in GROUPS:
    for _word in _group:
        OTHERS[_word] = (*OTHERS.get(_word, ()), *(other for other in _group if other != _word))
SMALL = frozenset(
    (
        *(
            "a",
            "the",
            "is",
            "are",
            "of",
            "in",
            "for",
            "with",
            "by",
            "at",
            "it",
            "that",
            "this",
            "my",
            "an",
            "was",
            "be",
        ),
        *(
            "to",
            "on",
            "as",
            "its",
            "i",
            "you",
            "me",
            "we",
            "do",
            "does",
            "did",
            "can",
            "could",
            "would",
            "should",
            "will",
        ),
        *("what", "which", "who", "how", "why", "when", "where", "there", "and", "or", "so", "then", "now", "please"),
        *("have", "has", "had", "if", "from", "about"),
    )
)
STRAY = (
    *(
        "a",
        "the",
        "is",
        "are",
        "of",
        "in",
        "for",
        "with",
        "by",
        "at",
        "it",
        "that",
        "this",
        "my",
        "your",
        "would",
        "could",
    ),
    *("please", "exactly", "really", "just", "then", "now", "here", "there", "command", "option", "way", "effect"),
    *("which", "what", "how", "who", "call", "name", "used", "mean", "explain", "happens", "becomes", "actually"),
)
SMALL_WORDS = tuple(sorted(SMALL))
BEGINNINGS = (
    *(
        "",
        "",
        "what",
        "which",
        "which command",
        "by which command",
        "how",
        "how do I",
        "how can I",
        "where",
        "why",
        "who",
    ),
    *(
        "what is",
        "what does",
        "in which way",
        "with what",
        "can",
        "may",
        "is there",
        "are",
        "tell me",
        "explain",
        "what if",
    ),
    *(
        "which option",
        "which folder",
        "which part",
        "by what",
        "after what",
        "how long",
        "how many",
        "what happens when",
    ),
)
FRAMES = (
    *("{}?", "{}?", "{}?", "{}", "{}.", "{}, please?", "{} here?", "{} in Baton?", "{} exactly?", "{}, what now?"),
    *("Would you say: {}?", "May I ask: {}?", "My question is: {}", "Do you know: {}?", "I wonder: {}?", "And {}?"),
    *("Please: {}", "Can you answer this: {}?", "Hey, {}?", "Well, {}?", "Could you say {}?", "I ask you: {}?"),
)


ENDINGS = ("", "s", "ed", "ing", "d")


def from_memory(words: Sequence[str], weights: Sequence[float], draw: random.Random) -> str:
    """A question of somebody who remembers a few telling words of the answer, in about their order."""
    picked = draw.choices(range(len(words)), weights, k=draw.randint(2, 6))
    told = [words[place] for place in sorted(set(picked))]
    if draw.random() < 0.2:
        draw.shuffle(told)
    said: list[str] = []
    for word in told:
        if word.lower() in OTHERS and draw.random() < 0.25:
            word = draw.choice(OTHERS[word.lower()])
        elif word.isalpha() and len(word) > 4 and draw.random() < 0.3:
            word = word.removesuffix("s") + draw.choice(ENDINGS)
        said += [draw.choice((*STRAY, *SMALL_WORDS))] * (draw.random() < 0.45) + [word]
    begin = draw.choice(BEGINNINGS)
    text = draw.choice(FRAMES).format(" ".join([*begin.split(), *said]))
    return text[0].upper() + text[1:]


def reworded(question: str, draw: random.Random) -> str:
    """The same question as somebody else might put it; its telling words mostly stay."""
    words = []
    for word in question.rstrip("?.!").split():
        plain = word.lower().strip(",.:?!`")
        chance = draw.random()
        if chance < (0.35 if plain in SMALL else 0.05):
            continue
        if plain in OTHERS and draw.random() < 0.35:
            word = draw.choice(OTHERS[plain])
        words.append(word)
        if draw.random() < 0.12:
            words.append(draw.choice(STRAY))
    if draw.random() < 0.25:
        words.insert(0, draw.choice(STRAY))
    if draw.random() < 0.1:
        draw.shuffle(words)
    text = " ".join(words) or question
    text = draw.choice(FRAMES).format(text)
    return text[0].upper() + text[1:]
