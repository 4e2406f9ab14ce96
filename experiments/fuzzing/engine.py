"""A process that gives a reader inputs until the time is over.

    python -m experiments.fuzzing.engine ENGINE READERS NAME SECONDS FOLDER

READERS is the module that holds the table. Ends with 0 if nothing was found; the
folder holds the last input, the tally and, after an exception, what it was.
"""

import importlib
import itertools
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from experiments.fuzzing import inputs

EXAMPLES = 500
_FIRST_SECONDS = 60.0  # what is imported at the first use is no hang
INSTRUMENTED = ["sgns_jax", "experiments.workdir", "zipfile", "json"]


def by_hypothesis(readers: str, name: str, seconds: float, folder: Path) -> None:
    """Damaged seeds, each round of them from a seed of its own."""
    import hypothesis
    from hypothesis import HealthCheck, Phase, given

    end = time.monotonic() + seconds
    guard, seeds = prepare(readers, name, folder)

    @hypothesis.settings(
        database=None, deadline=None, max_examples=EXAMPLES, print_blob=False,
        phases=[Phase.generate, Phase.shrink], report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(inputs.near(seeds))
    def one(data: bytes) -> None:
        guard(data)

    for number in itertools.count():
        hypothesis.seed(number)(one)()
        if time.monotonic() > end:
            return


def by_atheris(readers: str, name: str, seconds: float, folder: Path) -> None:
    """Inputs that reach new places of the readers' code."""
    import atheris

    # Modules are instrumented as they are imported.
    with atheris.instrument_imports(include=INSTRUMENTED):
        guard, seeds = prepare(readers, name, folder)
    corpus = folder / "inputs"
    corpus.mkdir()
    for number, seed in enumerate(seeds):
        (corpus / str(number)).write_bytes(seed)
    options = [
        f"-max_total_time={max(1, round(seconds))}",  # 0: no end
        f"-max_len={inputs.MAX_BYTES}",
        f"-artifact_prefix={folder}/",
        # The guard looks at both, for either engine alike.
        "-timeout=0",
        "-rss_limit_mb=0",
    ]

    def one(data: bytes) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # libFuzzer catches it
        guard(data)

    atheris.Setup([sys.argv[0], *options, str(corpus)], one)
    atheris.Fuzz()


def prepare(
    readers: str, name: str, folder: Path
) -> tuple[Callable[[bytes], None], list[bytes]]:
    """A guarded reader and its seeds, each of them read."""
    from experiments.fuzzing.guard import Guard  # not before: it imports the readers

    target = importlib.import_module(readers).READERS[name]
    seeds = target.prepare(folder)
    first = Guard(target, folder, _FIRST_SECONDS)
    for seed in seeds:
        first(seed)
    return Guard(target, folder), seeds


if __name__ == "__main__":
    _, engine, *names, seconds, folder = sys.argv
    run = {"hypothesis": by_hypothesis, "atheris": by_atheris}[engine]
    run(*names, float(seconds), Path(folder))
