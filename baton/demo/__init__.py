"""The demo model that comes with Baton, in `model/`. How it was made stands in README.md; the other files made it.

Small enough for a repository, and it speaks: it answers simple questions about Baton and goes on from a text.
"""

from pathlib import Path

MODEL = Path(__file__).with_name("model")
NAME = "demo"
