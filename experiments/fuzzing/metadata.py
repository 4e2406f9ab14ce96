"""The files that an interrupted or finished run is taken up from."""

import json
import os
from pathlib import Path

from experiments.fuzzing.guard import same
from experiments.workdir import Workdir
from sgns_jax.config import Config
from sgns_jax.corpus import Corpus, load_corpus
from sgns_jax.types import InputError


def metadata_seeds(folder: Path) -> list[bytes]:
    """A run's files, and those of a corpus encoded from a text of fixed age."""
    (folder / "corpus.txt").write_text("a a b b a\nb a\n", encoding="utf-8")
    os.utime(folder / "corpus.txt", (0, 0))  # its key in the cache holds the time
    _load_corpus(folder)
    config = Config(corpus="corpus.txt", backend="cpu")
    Workdir(str(folder)).claim(config, "0" * 32)
    metrics = b'{"round": 1, "seconds": 0.5}\n{"round": 2, "seconds": 1.0}\n'
    files = "corpus/corpus.json", "config.json"
    lists = b"[]", b"[" * 10_000  # JSON, but no table; and deeper than Python goes
    return [metrics, *lists, *((folder / name).read_bytes() for name in files)]


def _load_corpus(folder: Path) -> Corpus:
    return load_corpus(str(folder / "corpus.txt"), folder / "corpus", min_count=1)


def read_metadata(path: Path) -> None:
    """As each of the files that an interrupted or finished run is taken up from."""
    folder, data = path.parent, path.read_bytes()
    run = Workdir(str(folder))

    def read_json() -> None:
        found = run.read_result()
        run.write_json("again.json", found)
        same(json.dumps(run.read_json("again.json")), json.dumps(found))

    def check_owner() -> None:
        run.path("config.json").write_bytes(data)
        run.finished(Config(corpus="corpus.txt", backend="cpu"))

    def go_on() -> None:
        run.path("metrics.jsonl").write_bytes(data)
        run.open_metrics(1).__exit__()

    def open_corpus() -> None:
        run.path("corpus/corpus.json").write_bytes(data)
        same(_load_corpus(folder).tokens.tolist(), [0, 0, 1, 1, 0, -1, 1, 0])

    for reader in (read_json, check_owner, go_on, open_corpus):
        try:
            reader()
        except InputError:
            continue
