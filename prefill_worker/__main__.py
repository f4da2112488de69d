"""`python -m prefill_worker`."""

import sys

from common.engine.process import main
from prefill_worker.kind import PREFILL

sys.exit(main(PREFILL, "prefill_worker"))
