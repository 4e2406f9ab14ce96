"""What every experiment script shares: flags, a help page, errors of one line.

Flags for ``Config`` are made from its own table of settings, so that each setting is
described once.
"""

import dataclasses
import io
import math
import os
import re
import signal
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from absl import flags
from absl.flags import FlagValues

from experiments import processes, runtime, stopping
from sgns_jax.config import Config, Setting
from sgns_jax.types import InputError


class _PathParser(flags.ArgumentParser):
    """A path of this machine. ``~`` is the home folder, also where no shell says so."""

    def parse(self, argument: str) -> str:
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", argument):
            raise ValueError(
                "this is an address, and only files of this machine are read and "
                "written; give a path, and mount or copy what lies elsewhere"
            )
        path = os.path.expanduser(argument)
        if path.startswith("~"):
            raise ValueError(
                f"{path.split('/')[0]} is nobody's home folder; write ./{path} for a "
                "name that begins so"
            )
        return path


def _define_path(name: str, default: str, meaning: str, flag_values: FlagValues):
    flags.DEFINE(_PathParser(), name, default, meaning, flag_values=flag_values)


_DEFINE = {
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
    bool: flags.DEFINE_boolean,
    Path: _define_path,
}
_PATHS = ("corpus",)  #: settings of ``Config`` that may be paths


#: No count, size or time of a script's own is larger; its bytes or nanoseconds are
#: then finite as floats.
_LARGEST = 1e18


class Flag(NamedTuple):
    """A line of the help page."""

    group: str
    kind: type  #: a key of ``_DEFINE``; the value of a ``Path`` is a string
    name: str
    default: object
    meaning: str
    needs: str


class Script:
    """A command: the question it answers and the flags it takes.

    Args:
      about: the text that heads the help page.
      again: what giving the same command again does after an interruption.
    """

    def __init__(self, about: str, again: str = "begins anew"):
        self._about, self._again = about, again
        self.flags: list[Flag] = []

    def define(
        self, group: str, kind: type, name: str, default, meaning: str, needs: str
    ) -> None:
        """Adds a flag, and its line on the help page."""
        self.flags.append(Flag(group, kind, name, default, meaning, needs))

    def define_workdir(self, default: str) -> None:
        """Adds ``--workdir``, the folder that the script writes into."""
        meaning, needs = (
            "Folder for results; made if missing.",
            "a folder one may write to",
        )
        self.define("Run", Path, "workdir", default, meaning, needs)

    def define_config(self, names: Iterable[str] | None = None) -> None:
        """Adds a flag for each setting of ``Config``, or for the named ones."""
        for field in dataclasses.fields(Config):
            if names is None or field.name in names:
                setting: Setting = field.metadata["setting"]
                about = setting.meaning, setting.needs
                kind = Path if field.name in _PATHS else kind_of(field)
                self.define(setting.group, kind, field.name, field.default, *about)

    def run(self, main: Callable[[FlagValues], int | None]) -> None:
        """Parses the command line, runs ``main`` on the flags, exits with its status.

        What the user can mend, a device that JAX does not have, too, ends in one line
        on the standard error and status 2; a fault of ours keeps its traceback. A
        signal to stop ends in a line, too, and the status that shells expect of it;
        what ends as another process of the job is gone has status 75, "try again".
        Where nobody reads the output any more (``| head``) it ends without a word, with
        the status of SIGPIPE. What a terminal cannot show is written as escapes.
        """
        sys.stdout = sys.stdout or open(os.devnull, "w")  # None: it was closed
        sys.stderr = sys.stderr or open(os.devnull, "w")
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # a caller's may be another
                stream.reconfigure(errors="backslashreplace")
        try:
            try:
                self._run(main)
            finally:  # at its end Python would print what this raises
                print(end="", flush=True)
        except OSError as error:
            _end_unwritten(error)

    def _run(self, main: Callable[[FlagValues], int | None]) -> None:
        if {"--help", "-h", "-help"} & set(sys.argv[1:]):
            print(self.help_page())
            sys.exit(0)
        end_raising = stopping.raise_signals()
        try:
            with processes.together(self._again):
                sys.exit(main(self._parse()))
        except BrokenPipeError:
            raise
        except flags.Error as error:
            _end(f"error: {error}; see --help", 2)
        except (InputError, OSError, FloatingPointError) as error:
            _end(f"error: {error}", 2)
        except KeyboardInterrupt as stop:
            what = str(stop) or "interrupted"
            _end(f"{what}; the same command {self._again}", stopping.status(stop))
        except Exception:
            if trouble := runtime.why_not_started():
                _end(f"error: {trouble}", 2)
            if not processes.many():
                raise
            traceback.print_exc()
            processes.leave(1)  # the others wait for this one
        finally:
            end_raising()

    def _parse(self) -> FlagValues:
        values = FlagValues()
        for flag in self.flags:
            define = _DEFINE[flag.kind]
            define(flag.name, flag.default, flag.meaning, flag_values=values)
        rest = values(sys.argv)[1:]
        if rest:
            raise InputError(
                f"got {rest[0]!r}, which is no flag; flags are written --name=value, "
                "see --help"
            )
        settings = Config.__dataclass_fields__  # which check themselves
        for flag in self.flags:
            value = values[flag.name].value
            is_number = flag.kind in (int, float) and flag.name not in settings
            if is_number and not abs(value) <= _LARGEST:  # so written, NaN breaks it
                most = f", at most {_LARGEST:g}" if math.isfinite(value) else ""
                raise InputError(f"{flag.name} must be {flag.needs}{most}, got {value}")
        return values

    def help_page(self) -> str:
        """What ``--help`` prints: flags by group, each with range and default."""
        lines = [self._about.strip(), ""]
        for group in dict.fromkeys(flag.group for flag in self.flags):
            lines += [group, "-" * len(group)]
            for flag in (flag for flag in self.flags if flag.group == group):
                default = _shown(flag.default)
                lines.append(f"  --{flag.name}={default}   [{flag.needs}]")
                lines += textwrap.wrap(
                    flag.meaning, 74, initial_indent=" " * 6, subsequent_indent=" " * 6
                )
            lines.append("")
        return "\n".join(lines)


def kind_of(field: dataclasses.Field) -> type:
    """bool, int, float or str; "float | None" is a float that may be left open."""
    kinds = getattr(field.type, "__args__", (field.type,))
    return next(kind for kind in (bool, int, float, str) if kind in kinds)


def config(values: FlagValues, backend: str | None = None) -> Config:
    """The configuration that the flags say; ``backend`` where they name none."""
    names = {field.name for field in dataclasses.fields(Config)} & set(values)
    given = {name: values[name].value for name in names}
    given["backend"] = given.get("backend") or backend
    return Config(**given)


def wrapped(message: str) -> str:
    """A message in lines of 80 columns; no flag or path in it is broken in two."""
    whole = {"break_long_words": False, "break_on_hyphens": False}
    return textwrap.fill(message, 80, subsequent_indent="  ", **whole)


def _shown(default) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return "…" if default is None else f"{default}"


def _end_unwritten(error: OSError) -> None:
    """Ends where the output cannot be written: its reader is gone, or a disk full."""
    status = 128 + signal.SIGPIPE  # Python leaves that signal out
    if not isinstance(error, BrokenPipeError):
        print(f"error: cannot write the output: {error}", file=sys.stderr)
        status = 2
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):  # what they hold is written at the end
        os.dup2(nowhere, stream.fileno())
    processes.leave(status)


def _end(message: str, status: int) -> None:
    print(" ".join(message.split()), file=sys.stderr)
    processes.leave(status)
