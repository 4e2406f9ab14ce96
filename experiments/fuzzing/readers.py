"""Every reader of the project, with files that it accepts.

What a reader accepts must also come back the same when it is written and read again;
text, when it is read in other pieces.
"""

import bz2
import gzip
import io
import json
import lzma
import zipfile
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa

from experiments.fuzzing.checkpoints import checkpoint_seeds, read_checkpoint
from experiments.fuzzing.guard import Target, same
from experiments.fuzzing.metadata import metadata_seeds, read_metadata
from sgns_jax.evaluation import analogies, format_table, spearman, to_json
from sgns_jax.text import open_source, tokenize
from sgns_jax.types import InputError
from sgns_jax.vectors import WordVectors
from sgns_jax.vocabulary import Vocabulary, load_vocabulary, save_vocabulary

_TEXT = "The cat's tail\r\n\r\n1,5 \u00a0größe — don’t\u2028stop\n"
_WORDS = ("the", "Man", "woman", "king", "queen", "größe")
_ROWS = [[0, 0, 0], [1, 0, 0.1], [1, 1, 0], [1, -1e-9, 1], [2, 2, 2e20], [-3, 0, 1]]
_VECTORS = WordVectors(_WORDS, np.array(_ROWS))


def text_seeds(folder: Path) -> list[bytes]:
    text = _TEXT.encode()
    zstd = pa.compress(text, codec="zstd", asbytes=True)
    packed = [gzip.compress(text), bz2.compress(text), lzma.compress(text), zstd]
    return [text, b"\xef\xbb\xbf" + text, b"caf\xc3 \xff\n", *packed]


def read_text(path: Path) -> None:
    """Pieces and tokens do not depend on where pieces are cut."""
    whole = list(islice(open_source(str(path)), 3))
    if len(whole) == 3:  # packed, and megabytes
        return
    text = b"".join(whole)
    letters, tabs = {"tokenizer": "letters", "lowercase": True}, {"tokenizer": "tabs"}
    for options in ({}, letters, tabs):
        size, tokenizer = 1 + len(text) // 4, options.get("tokenizer", "whitespace")
        pieces = list(open_source(str(path), size, tokenizer=tokenizer))
        same(b"".join(pieces), text)
        tokens = _tokens([text], options)
        same(_tokens(pieces, options), tokens)
        if not options:
            lines = text.decode("utf-8", "replace").split("\n")
            same([w for w in tokens if w != "\n"], sum(map(str.split, lines), []))


def _tokens(pieces: list[bytes], options: dict) -> list[str]:
    found = []
    for tokens in (tokenize(piece, **options) for piece in pieces):
        found += [tokens.words[id] for id in tokens.ids if tokens.words[id]]
    return found


def vocabulary_seeds(folder: Path) -> list[bytes]:
    save_vocabulary(Vocabulary(_WORDS, np.arange(6, 0, -1)), folder / "seed.tsv")
    return [(folder / "seed.tsv").read_bytes(), b"a\t9223372036854775807\nb\t1\n"]


def read_vocabulary(path: Path) -> None:
    first = load_vocabulary(path)
    same(len(first.words), len(first.counts))
    save_vocabulary(first, path.with_name("again.tsv"))
    again = load_vocabulary(path.with_name("again.tsv"))
    same((again.words, again.counts.tolist()), (first.words, first.counts.tolist()))


def vector_seeds(ending: str):
    """Files of one format: ours, and by other programs."""

    def seeds(folder: Path) -> list[bytes]:
        _VECTORS.save(folder / f"seed{ending}")
        ours = (folder / f"seed{ending}").read_bytes()
        if ending == ".npz":
            return [ours, np_bytes(np.asfortranarray(_VECTORS.matrix, np.float64))]
        theirs = {
            ".txt": [
                b"2 2\r\n</s> 0.5 1.000000 \r\ncaf\xc3 -0.25 2e-3 \n\n",
                b"a .5 1\nApollo 11 -.25 2\n",  # GloVe: no header
            ],
            ".bin": [b"2 1\na \0\0\x80?b \0\0\0@"],  # gensim: no line ends
        }
        return [ours, gzip.compress(ours), *theirs[ending]]

    return seeds


def read_vectors(path: Path) -> None:
    first = WordVectors.load(path)
    ours = path.with_stem("again")
    if any(" " in word for word in first.words):  # text is read so, and never written
        ours = ours.with_suffix(".npz")
    try:
        first.save(ours)
    except InputError as error:
        raise AssertionError("accepted, yet it cannot be written") from error
    again = WordVectors.load(ours)
    same((again.words, again.matrix.tobytes()), (first.words, first.matrix.tobytes()))


def np_bytes(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def read_npz(path: Path) -> None:
    """An archive as it is; anything else as its matrix, under a right checksum."""
    data = path.read_bytes()
    if not data.startswith(b"PK"):
        words = np.frombuffer("\n".join(_WORDS).encode(), np.uint8)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("words.npy", np_bytes(words))
            archive.writestr("matrix.npy", data)
    read_vectors(path)


def evaluation_seeds(folder: Path) -> list[bytes]:
    pairs = "# a comment\nman\tking\t7.5\tx\nking\tqueen\t9\nthe\tman\t-1e0\nx\ty\t0\n"
    questions = "// a comment\n: family\nman king woman queen\n: gram1\nthe a b größe\n"
    return [pairs.encode(), questions.encode(), b"\xef\xbb\xbf" + pairs.encode()]


def read_evaluation(path: Path) -> None:
    """As word pairs and as analogies."""
    for score_file in (spearman, analogies):
        try:
            score = score_file(_VECTORS, path)
        except InputError:
            continue
        format_table([score])
        json.dumps(to_json(score), allow_nan=False)


READERS = {
    target.name: target
    for target in (
        Target("text", "text, plain and packed", "input.txt", text_seeds, read_text),
        Target(
            "vocabulary", "words and counts", "input.tsv",
            vocabulary_seeds, read_vocabulary,
        ),
        Target(
            "word2vec_text", "word2vec's text", "input.txt",
            vector_seeds(".txt"), read_vectors,
        ),
        Target(
            "word2vec_binary", "word2vec's binary", "input.bin",
            vector_seeds(".bin"), read_vectors,
        ),
        Target("npz", "vectors in .npz", "input.npz", vector_seeds(".npz"), read_npz),
        Target(
            "evaluation", "word pairs, analogies", "input.tsv",
            evaluation_seeds, read_evaluation,
        ),
        Target(
            "metadata", "files of a run, a corpus", "result.json",
            metadata_seeds, read_metadata,
        ),
        Target(
            "checkpoint", "a file of a checkpoint", "input.json",
            checkpoint_seeds, read_checkpoint,
        ),
    )
}  # fmt: skip
