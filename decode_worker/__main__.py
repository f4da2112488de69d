"""`python -m decode_worker`."""

import sys

from common.engine.process import main
from decode_worker.kind import DECODE

sys.exit(main(DECODE, "decode_worker"))
