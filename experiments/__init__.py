"""Scripts, one question each."""

import os
import signal
import sys

# Arrow's own allocator takes a gigabyte of addresses at once. None of it need be in
# memory, but under a limit on data (ulimit -d) what is left is too little for the rest:
# a thread that cannot start leaves JAX or Orbax waiting for ever. Arrow reads this when
# it is imported.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

# Started by ``python -m``, and about to import for seconds: what is interrupted then
# ends in silence, not in a traceback. ``cli.Script.run`` has a line to say.
if sys.argv[0] == "-m":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
