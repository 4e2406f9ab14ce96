"""SIGINT and SIGTERM: a script that is asked to stop leaves everything in order."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Terminated(KeyboardInterrupt):
    """SIGTERM, as KeyboardInterrupt is SIGINT."""


_ERRORS = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}
_SOON = 0.05  # seconds: garbage is collected by then


def status(error: KeyboardInterrupt) -> int:
    """What shells expect of a process that a signal ended: 128 and its number."""
    return 128 + _number(type(error))


def _number(error: type[KeyboardInterrupt]) -> int:
    return signal.SIGTERM if issubclass(error, Terminated) else signal.SIGINT


def raise_signals() -> Callable[[], None]:
    """Raises each signal's error from now on; what is returned ends that.

    Python drops, and prints, what is raised in a finalizer or while it collects
    garbage, where JAX has a callback. A signal is then sent once more.
    """
    handlers = {n: signal.signal(n, _raise) for n in _ERRORS}
    hook, sys.unraisablehook = sys.unraisablehook, _send_again

    def end() -> None:
        sys.unraisablehook = hook
        _restore(handlers)

    return end


def _restore(handlers: dict) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


def _raise(number: int, frame) -> None:
    raise _ERRORS[number]


def _send_again(dropped) -> None:
    """What ``sys.unraisablehook`` says of an error that Python dropped."""
    if not issubclass(dropped.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(dropped)
        return
    signalled = os.getpid(), _number(dropped.exc_type)
    again = threading.Timer(_SOON, os.kill, signalled)
    again.daemon = True
    again.start()


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Lets a signal end the process at once, as it does where nothing hears of it.

    For a wait in C++ before there is anything to lose: Python's handlers would run when
    it is over.
    """
    handlers = {n: signal.signal(n, signal.SIG_DFL) for n in _ERRORS}
    try:
        yield
    finally:
        _restore(handlers)


class Stopping:
    """A context that keeps the first signal in ``asked`` and raises the second."""

    def __init__(self):
        self.asked: type[KeyboardInterrupt] | None = None

    def __enter__(self) -> "Stopping":
        self._before = {n: signal.signal(n, self._ask) for n in _ERRORS}
        return self

    def __exit__(self, *error) -> None:
        _restore(self._before)

    def _ask(self, number: int, frame) -> None:
        if self.asked:
            _raise(number, frame)
        self.asked = _ERRORS[number]
