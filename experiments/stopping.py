"""SIGINT and SIGTERM: a script that is asked to stop leaves everything in order."""

import signal


class Terminated(KeyboardInterrupt):
    """SIGTERM, as KeyboardInterrupt is SIGINT."""


_ERRORS = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}


def status(error: KeyboardInterrupt) -> int:
    """What shells expect of a process that a signal ended: 128 and its number."""
    number = signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT
    return 128 + number


def raise_signals() -> dict:
    """Raises each signal's error from now on; what was done before, for ``restore``."""
    return {n: signal.signal(n, _raise) for n in _ERRORS}


def restore(handlers: dict) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


def _raise(number: int, frame) -> None:
    raise _ERRORS[number]


class Stopping:
    """A context that keeps the first signal in ``asked`` and raises the second."""

    def __init__(self):
        self.asked: type[KeyboardInterrupt] | None = None

    def __enter__(self) -> "Stopping":
        self._before = {n: signal.signal(n, self._ask) for n in _ERRORS}
        return self

    def __exit__(self, *error) -> None:
        restore(self._before)

    def _ask(self, number: int, frame) -> None:
        if self.asked:
            _raise(number, frame)
        self.asked = _ERRORS[number]
