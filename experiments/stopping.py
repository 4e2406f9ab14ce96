"""SIGINT and SIGTERM: a script that is asked to stop leaves everything in order."""

import signal


class Terminated(KeyboardInterrupt):
    """SIGTERM, as KeyboardInterrupt is SIGINT."""


_ERRORS = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}
_raised: list[type[KeyboardInterrupt]] = []  # since ``raise_signals``


def status(error: KeyboardInterrupt) -> int:
    """What shells expect of a process that a signal ended: 128 and its number."""
    number = signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT
    return 128 + number


def raise_signals() -> dict:
    """Raises each signal's error from now on; what was done before, for ``restore``."""
    _raised.clear()
    return {n: signal.signal(n, _raise) for n in _ERRORS}


def restore(handlers: dict) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


def _raise(number: int, frame) -> None:
    _raised.append(_ERRORS[number])
    raise _ERRORS[number]


class Stopping:
    """A context that keeps the first signal in ``asked`` and raises the second.

    One that was raised before and got lost counts as the first: Python drops what is
    raised while it collects garbage, and JAX has a callback there.
    """

    def __init__(self):
        self.asked: type[KeyboardInterrupt] | None = None

    def __enter__(self) -> "Stopping":
        self.asked = _raised[-1] if _raised else None
        self._before = {n: signal.signal(n, self._ask) for n in _ERRORS}
        return self

    def __exit__(self, *error) -> None:
        restore(self._before)

    def _ask(self, number: int, frame) -> None:
        if self.asked:
            _raise(number, frame)
        self.asked = _ERRORS[number]
