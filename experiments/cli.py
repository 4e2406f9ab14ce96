"""What every experiment script shares: flags, a help page, errors of one line.

Flags for ``Config`` are made from its own table of settings, so that each setting is
described once.
"""

import dataclasses
import sys
import textwrap
from collections.abc import Callable, Iterable

from absl import flags

from sgns_jax.config import Config, Setting
from sgns_jax.types import InputError

_DEFINE = {
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
    bool: flags.DEFINE_boolean,
}


@dataclasses.dataclass(frozen=True)
class Flag:
    """A line of the help page."""

    group: str
    name: str
    default: object
    meaning: str
    needs: str


_page: list[Flag] = []


def define(group: str, kind: type, name: str, default, meaning: str, needs: str):
    """Defines an absl flag and puts it on the help page."""
    _DEFINE[kind](name, default, meaning)
    _page.append(Flag(group, name, default, meaning, needs))


def define_config(names: Iterable[str] | None = None) -> None:
    """Defines a flag for each setting of ``Config``, or for the named ones."""
    for field in dataclasses.fields(Config):
        if names is None or field.name in names:
            setting: Setting = field.metadata["setting"]
            # "float | None" is a float that may be left to the optimiser's default.
            kind = next(k for k in (bool, int, float, str) if k in _kinds(field.type))
            define(
                setting.group,
                kind,
                field.name,
                field.default,
                setting.meaning,
                setting.needs,
            )


def _kinds(annotation) -> tuple:
    return getattr(annotation, "__args__", (annotation,))


def config() -> Config:
    """The configuration that the flags say."""
    fields = {field.name for field in dataclasses.fields(Config)}
    return Config(
        **{name: flags.FLAGS[name].value for name in fields & set(flags.FLAGS)}
    )


def help_page(about: str) -> str:
    """The page ``--help`` prints: flags by group, each with range and default."""
    lines = [about.strip(), ""]
    for group in dict.fromkeys(flag.group for flag in _page):
        lines += [group, "-" * len(group)]
        for flag in (flag for flag in _page if flag.group == group):
            default = _shown(flag.default)
            lines.append(f"  --{flag.name}={default}   [{flag.needs}]")
            lines += textwrap.wrap(
                flag.meaning, 74, initial_indent=" " * 6, subsequent_indent=" " * 6
            )
        lines.append("")
    return "\n".join(lines)


def _shown(default) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return "…" if default is None else f"{default}"


def run(main: Callable[[], None], about: str) -> None:
    """Parses the command line, runs ``main`` and exits.

    What the user can mend ends in one line on the standard error and status 2; a
    fault of ours keeps its traceback.
    """
    if {"--help", "-h", "-help"} & set(sys.argv[1:]):
        print(help_page(about))
        sys.exit(0)
    try:
        rest = flags.FLAGS(sys.argv)[1:]
        if rest:
            raise InputError(
                f"got {rest[0]!r}, which is no flag; flags are written --name=value, "
                "see --help"
            )
        main()
    except flags.Error as error:
        _fail(f"{error}; see --help", 2)
    except (InputError, OSError, FloatingPointError) as error:
        _fail(str(error), 2)
    except KeyboardInterrupt:
        _fail("interrupted; the same command goes on from the last checkpoint", 130)


def _fail(message: str, status: int) -> None:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(status)
