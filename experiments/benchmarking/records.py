"""benchmark.json while it grows: runs done before are kept, another's are refused."""

from experiments.workdir import Workdir
from sgns_jax.types import InputError

NAME = "benchmark.json"
#: What makes runs comparable: one machine, one version of everything, one text.
_IDENTITY = "settings text program_versions versions python machine commit".split()


def begin(workdir: Workdir, head: dict) -> dict:
    """A result to add runs to: the head, and the runs recorded in this folder.

    Raises:
      InputError: the folder holds runs with other settings, versions or text.
    """
    path = workdir.path(NAME)
    if not path.exists():
        return head | {"runs": []}
    old = workdir.read_json(NAME)
    runs = old.get("runs", [])
    before, now = _leaves(old), _leaves(head)
    for name in runs and now:
        if before.get(name) != now[name]:
            raise InputError(
                f"{path} holds runs with {name} = {before.get(name)!r}, these would "
                f"have {now[name]!r}; give another --workdir, or the same settings"
            )
    return head | {"runs": runs}


def _leaves(result: dict) -> dict:
    """The identity's entries under plain names."""
    leaves = {}
    for name in _IDENTITY:
        value = result.get(name)
        leaves |= value if isinstance(value, dict) else {name: value}
    return leaves


def key(run: dict) -> tuple[str, int, int]:
    """What tells a run from the others of its benchmark."""
    return run["program"], run["epochs"], run["repetition"]
