"""Runs inside a router's container: asks the same question again and again, and says whether any answer differed.

Prints `begun` after a quarter of its time, with more answers under way, and at the end one line of JSON.
"""

import asyncio
import json
import sys
import time

from baton.client import Client

PROMPT, NUM_TOKENS, NUM_AT_ONCE = "Baton is", 96, 4


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def main(seconds: float) -> None:
    async with Client("127.0.0.1:50051") as client:

        async def ask() -> tuple[tuple[int, ...], int]:
            done = await client.complete(PROMPT, temperature=0.0, max_tokens=NUM_TOKENS, ignore_eos=True)
            return tuple(done.answers[0].token_ids), done.done.num_attempts

        reference, _ = await ask()
        began, begun, answers = time.monotonic(), False, list[tuple[tuple[int, ...], int]]()
        while (passed := time.monotonic() - began) < seconds:
            if passed >= seconds / 4 and not begun:
                say("begun")
                begun = True
            answers += await asyncio.gather(*(ask() for _ in range(NUM_AT_ONCE)))
        wrong = sum(tokens != reference for tokens, _ in answers)
        retried = sum(attempts > 1 for _, attempts in answers)
        say(json.dumps({"answers": len(answers), "wrong": wrong, "retried": retried, "tokens": len(reference)}))


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1])))
