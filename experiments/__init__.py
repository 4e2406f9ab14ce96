"""Scripts, one question each."""

import signal
import sys

# Started by ``python -m``, and about to import for seconds: what is interrupted then
# ends in silence, not in a traceback. ``cli.Script.run`` has a line to say.
if sys.argv[0] == "-m":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
