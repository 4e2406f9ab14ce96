"""Is a text read whole? The library against a few lines of Python."""

import shutil
from collections.abc import Iterator
from itertools import groupby, zip_longest
from pathlib import Path

import numpy as np

from sgns_jax.corpus import Corpus, load_corpus
from sgns_jax.files import source_files
from sgns_jax.formats import unpacked
from sgns_jax.vectors import WordVectors

#: What must hold of a text, by the key of ``check``.
CHECKS = {
    "words": "texts with the words and lines of Python's split",
    "bytes": "texts whose bytes are those of words and spaces",
    "replaced": "texts with U+FFFD for what is not UTF-8, alone",
    "export": "texts whose words .txt, .bin, .npz keep",
}
_CHUNK_TOKENS = 1 << 20


def texts(source: str, folder: Path) -> Iterator[tuple[str, str, Path]]:
    """Each text: its file's name, the row's if it is one of a table, a file with it.

    Args:
      source: a file, folder or glob. Each row of a .tsv file is a text; its first
        column is the row's name.
      folder: where each row is written, over the one before.
    """
    for path in source_files(source):
        if path.suffix != ".tsv":
            yield path.name, "", path
            continue
        with path.open("rb") as rows:
            for row in rows:
                one = folder / "row.txt"
                one.write_bytes(row)
                yield path.name, row.partition(b"\t")[0].decode("utf-8", "replace"), one


def check(path: Path, folder: Path) -> dict:
    """What a text holds, and which of ``CHECKS`` hold.

    Args:
      path: the text.
      folder: for its encoded form and vectors; emptied first.
    """
    shutil.rmtree(folder, ignore_errors=True)
    corpus = load_corpus(str(path), folder / "corpus", min_count=1)
    with path.open("rb") as file:
        content = unpacked(file, path.name).stream.read()
    content = content.removeprefix(b"\xef\xbb\xbf")
    text = content.decode("utf-8", "replace")
    words, counts = corpus.vocabulary.words, corpus.vocabulary.counts.tolist()
    in_words = sum(n * len(w.encode()) for w, n in zip(words, counts, strict=True))
    # What is no white space, each U+FFFD as long as what it stands for.
    grown = len(text.encode()) - len(content)
    between = len(text.encode()) - len("".join(text.split()).encode())
    holds = {
        "words": _same_words(corpus, text),
        "bytes": in_words - grown + between + 1 == corpus.bytes_read,  # + a line end
        "replaced": corpus.replaced_bytes
        == text.count("\ufffd") - content.count("\ufffd".encode()),
        "export": all(
            _exported(words, folder / f"v.{x}") for x in ("txt", "bin", "npz")
        ),
    }
    return {
        "bytes": len(content),
        "words": corpus.raw_words,
        "replaced": corpus.replaced_bytes,
        "holds": holds,
    }


def summarise(records: list[dict]) -> list[dict]:
    """A record for each file: sums over its texts, and the rows that failed."""
    files = {}
    for one in records:
        files.setdefault(one["file"], []).append(one)
    return [
        {
            "file": file,
            "texts": len(those),
            **{
                key: sum(one[key] for one in those)
                for key in ("bytes", "words", "replaced")
            },
            "held": {key: sum(one["holds"][key] for one in those) for key in CHECKS},
            "failed": [one["row"] for one in those if not all(one["holds"].values())],
        }
        for file, those in files.items()
    ]


def _same_words(corpus: Corpus, text: str) -> bool:
    lines = filter(None, (line.split() for line in text.split("\n")))
    pairs = zip_longest(_sentences(corpus), lines)
    return all(ours == theirs for ours, theirs in pairs)


def _sentences(corpus: Corpus) -> Iterator[list[str]]:
    """The words of each sentence; ``SENTENCE_END`` is −1, the last of ``words``."""
    words = np.array([*corpus.vocabulary.words, None], object)
    starts = range(0, len(corpus.tokens), _CHUNK_TOKENS)
    stream = (w for i in starts for w in words[corpus.tokens[i : i + _CHUNK_TOKENS]])
    for is_end, group in groupby(stream, lambda word: word is None):
        if not is_end:
            yield list(group)


def _exported(words: tuple[str, ...], path: Path) -> bool:
    """Do words come back from a file as they were?"""
    WordVectors(words, np.zeros((len(words), 1), np.float32)).save(path)
    return WordVectors.load(path).words == words
