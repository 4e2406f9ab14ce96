"""The folder of one run: whose it is, its metrics, its results."""

import dataclasses
import fcntl
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tqdm import tqdm

from experiments import cli, processes, runtime
from sgns_jax.config import Config
from sgns_jax.corpus import Corpus, load_corpus
from sgns_jax.types import InputError
from sgns_jax.vectors import WordVectors


class Workdir:
    """A run's folder. Files appear in it whole or not at all.

    Of many processes that train one model, all read it and the first one writes.

    Raises:
      InputError: at construction, if the folder cannot be made or written to, or its
        name is no UTF-8, which Orbax needs.
    """

    def __init__(self, folder: str):
        self._folder = Path(folder)
        try:
            str(self._folder.absolute()).encode()
        except UnicodeEncodeError:
            raise InputError(
                f"the work folder {str(self._folder.absolute())!r} has a name that is "
                "no UTF-8, so that checkpoints cannot be written there; give another "
                "--workdir"
            ) from None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._folder):
                pass
        except OSError as error:
            raise InputError(
                f"cannot write to the work folder {folder} ({error.strerror}); give a "
                "folder you may write to with --workdir"
            ) from None

    def path(self, name: str) -> Path:
        """Where a file of the run is."""
        return self._folder / name

    def finished(self, config: Config) -> bool:
        """Is this very run done? Another run's folder is refused.

        A text has many names: whether one of another name is another text is known
        once it is read, by ``claim``.
        """
        old = self._refuse_other(dataclasses.asdict(config))
        same_name = old.get("corpus", config.corpus) == config.corpus
        return same_name and self.path("result.json").exists()

    def claim(self, config: Config, fingerprint: str) -> None:
        """Makes the folder this run's own, or checks that it is.

        Raises:
          InputError: the folder holds another configuration, or another text. The
            name of the text may be another.
        """
        identity = dataclasses.asdict(config) | {"corpus_fingerprint": fingerprint}
        self._refuse_other(identity)
        identity["compiling"] = self._same_compiling()
        self.write_json("config.json", identity)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps other processes from training in the folder meanwhile.

        Raises:
          InputError: one does.
        """
        if not processes.first():
            yield
            return
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            with suppress(OSError):  # a file system may have no locks
                self._lock(descriptor)
            yield
        finally:
            os.close(descriptor)  # as the end of the process does

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"another run is at work in {self._folder}; wait for its end, or give "
                "another --workdir"
            ) from None

    def _refuse_other(self, identity: dict) -> dict:
        """The identity that the folder holds, none or one like this."""
        path = self.path("config.json")
        if not path.exists():
            return {}
        old = self.read_json("config.json")
        for name, value in identity.items():
            if name == "corpus" or old.get(name) == value:
                continue
            if name == "corpus_fingerprint":
                raise InputError(
                    f"{self._folder} holds a run on another text, named "
                    f"{old.get('corpus')!r}; {identity['corpus']!r} is not that one, "
                    "or has changed; give another --workdir, or the run's own text"
                )
            raise InputError(
                f"{self._folder} holds a run with {name} = {old.get(name)!r}, this one "
                f"has {value!r}; give another --workdir, or the run's own settings to "
                "go on with it"
            )
        return old

    def _same_compiling(self) -> dict:
        """What compilers are told, as it was told before; older runs do not say."""
        path, told = self.path("config.json"), runtime.compiling()
        old = self.read_json("config.json") if path.exists() else {}
        before = old.get("compiling", told)
        for name, value in told.items():
            if before.get(name) != value:
                raise InputError(
                    f"{self._folder} holds a run that was compiled with {name} = "
                    f"{before.get(name)!r}, this one is with {value!r}, which rounds "
                    "otherwise; set that as it was to go on, or give another --workdir"
                )
        return told

    def open_metrics(self, rounds_done: int) -> "MetricsLog":
        """The metrics file, cut back to the rounds that a checkpoint has done."""
        kept = [line for line in self.read_metrics() if line["round"] <= rounds_done]
        return MetricsLog(self.path("metrics.jsonl"), kept)

    def read_metrics(self) -> list[dict]:
        """The lines of metrics.jsonl by round, without those that were cut off."""
        path = self.path("metrics.jsonl")
        if not path.exists():
            return []
        lines = map(_metrics_line, path.read_bytes().split(b"\n"))
        by_round = {line["round"]: line for line in lines if line}
        return [by_round[n] for n in sorted(by_round)]

    def save_vectors(self, vectors: WordVectors) -> None:
        with _writing(self.path("vectors.txt")) as path:
            vectors.save(path)

    def save_result(self, result: dict) -> None:
        """Writes result.json: the run is finished from now on."""
        self.write_json("result.json", result)

    def read_result(self) -> dict:
        return self.read_json("result.json")

    def read_json(self, name: str) -> dict:
        """What :meth:`write_json` wrote.

        Raises:
          InputError: the file is no JSON.
        """
        path = self.path(name)
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise InputError(
                f"{path} is not the JSON this program writes; give another --workdir"
            )
        return value

    def write_json(self, name: str, value: dict) -> None:
        if not processes.first():
            return
        whole = self.path(name + ".part")
        with _writing(self.path(name)) as path:
            whole.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
            os.replace(whole, path)


def read_corpus(config: Config, workdir: Workdir) -> Corpus:
    """Reads and encodes the corpus, with a bar while it takes time."""
    silent = not processes.first()
    with tqdm(
        unit="B", unit_scale=True, desc="reading", leave=False, disable=silent
    ) as bar:

        def on_warning(line: str) -> None:
            bar.write(cli.wrapped(f"warning: {line}"), file=sys.stderr)

        def on_progress(done: int, total: int | None) -> None:
            if done < bar.n:  # what was read is done; now it is encoded
                bar.set_description("encoding", refresh=False)
                bar.reset(total)  # it shows itself at once
            bar.total = total
            bar.update(done - bar.n)

        return load_corpus(
            config,
            workdir.path("corpus"),
            on_progress=on_progress,
            on_warning=on_warning,
            team=processes.team(),
        )


class MetricsLog:
    """metrics.jsonl, a line a round, written at once."""

    def __init__(self, path: Path, kept: list[dict]):
        self.seconds = kept[-1]["seconds"] if kept else 0.0
        self._path, self._file = path, None
        if not processes.first():
            return
        with _writing(path):
            whole = path.with_name(path.name + ".part")
            whole.write_text("".join(map(_text, kept)), encoding="utf-8")
            os.replace(whole, path)
            self._file = path.open("ab", buffering=0)

    def write(self, line: dict) -> None:
        if self._file is None:
            return
        with _writing(self._path):
            self._file.write(_text(line).encode())

    def sync(self) -> None:
        """Returns when the lines would survive a loss of power."""
        if self._file is None:
            return
        with _writing(self._path):
            os.fsync(self._file.fileno())

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *error) -> None:
        if self._file is not None:
            self._file.close()


def _text(line: dict) -> str:
    return json.dumps(line) + "\n"


def _metrics_line(text: bytes) -> dict | None:
    """A line's content; None if it was cut off or changed."""
    try:
        line = json.loads(text)
        known = type(line["round"]) is int and type(line["seconds"]) is float
        return line if known else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


@contextmanager
def _writing(path: Path) -> Iterator[Path]:
    """Says which file could not be written, and what is to be done."""
    try:
        yield path
    except OSError as error:
        raise InputError(
            f"cannot write {path} ({error.strerror or error}); make room or give the "
            "right to write there, then go on with the same command"
        ) from error
