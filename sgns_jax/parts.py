"""A text encoded in parts, one for each process of a team, and joined to one corpus.

Each process reads files of its own, which follow each other, and counts their words;
the first one merges the counts to the vocabulary; each writes its part as ids of it;
the first one joins the parts in the order of the files. What comes out is to the byte
what one process makes of all the files.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sgns_jax import encoding
from sgns_jax.corpus_cache import TOKENS, VOCABULARY
from sgns_jax.text import STDIN, Tokens, open_source, tokenize
from sgns_jax.text_check import TextCheck
from sgns_jax.types import SENTENCE_END, InputError
from sgns_jax.vocabulary import build_vocabulary, load_vocabulary, save_vocabulary

_ABOUT = "part.json"


class Team(NamedTuple):
    """Processes that encode a text together, in a folder that all of them see."""

    index: int = 0  #: which of them this one is
    count: int = 1
    #: Returns when all of them are at the place of some name.
    wait: Callable[[str], None] = lambda name: None
    #: The number that the first one gives, at all of them.
    first_says: Callable[[int], int] = lambda number: number


ALONE = Team()


def share(files: list[Path], team: Team) -> list[Path]:
    """The files of this process: a row of them with about its share of the bytes."""
    sizes = np.array([file.stat().st_size for file in files], np.float64)
    middles = np.cumsum(sizes) - sizes / 2
    owner = np.floor(middles / max(sizes.sum(), 1) * team.count)
    owner = np.minimum(owner, team.count - 1)  # of empty files at the end
    return [file for file, who in zip(files, owner, strict=True) if who == team.index]


def encode(
    source: str,
    files: list[Path],
    settings: dict,
    folder: Path,
    team: Team,
    on_progress: Callable[[int, int | None], None],
    on_warning: Callable[[str], None],
    total: int | None,
) -> dict[str, int | str]:
    """Writes tokens and vocabulary into a folder; returns the corpus's other fields.

    Args:
        source: what the user calls the text.
        files: its files; none: standard input, which the first process reads.
        settings: see ``corpus.load_corpus``.
        folder: an empty one, the same for all.
        team: the processes.
        on_progress, on_warning: as for ``corpus.load_corpus``.
        total: bytes of this process's files; None: unknown.

    Returns:
        The fields, in the first process; in the others none.

    Raises:
        InputError: the text cannot be read, is none, or holds too few words.
    """
    part = _part(folder, team.index)
    part.mkdir()
    names = list(map(str, share(files, team))) if files else [STDIN] * (not team.index)
    split = partial(
        tokenize, tokenizer=settings["tokenizer"], lowercase=settings["lowercase"]
    )
    check = TextCheck(source, settings["encoding"], on_warning)

    def on_tokens(tokens: Tokens) -> None:
        check.add(tokens)
        on_progress(check.bytes_read, total)

    digests: list[str] = []
    pieces = _hashed(names, settings, check, digests)
    raw = encoding.write_raw_ids(pieces, split, part, on_tokens)
    raw = encoding.save_raw(raw, part) if team.count > 1 else raw
    team.wait("counted")
    if team.index == 0:
        everything = [encoding.load_raw(_part(folder, i)) for i in range(1, team.count)]
        fields, vocabulary = _count(source, [raw, *everything], settings)
        save_vocabulary(vocabulary, folder / VOCABULARY)
    team.wait("vocabulary")
    if team.index:
        fields, vocabulary = {}, load_vocabulary(folder / VOCABULARY)
    raw_bytes = raw.path.stat().st_size
    sentences, longest = encoding.write_ids(
        raw,
        vocabulary,
        part / TOKENS,
        settings["sentence_length"],
        lambda done: on_progress(done, raw_bytes),
    )
    about = {"digests": digests, "sentences": sentences, "longest_sentence": longest}
    (part / _ABOUT).write_text(json.dumps(about))
    team.wait("written")
    if team.index:
        return {}
    return fields | _join(folder, team, settings)


def _part(folder: Path, index: int) -> Path:
    return folder / f"part-{index}"


def _hashed(
    names: list[str], settings: dict, check: TextCheck, digests: list[str]
) -> Iterator[bytes]:
    """The pieces of all files, and a digest for each file."""
    how = {name: settings[name] for name in ("encoding", "tokenizer")}
    for name in names:
        digest = hashlib.sha256()
        for piece in check.watch(name, open_source(name, **how)):
            digest.update(piece)
            yield piece
        digests.append(digest.hexdigest())


def _count(source: str, raws: list[encoding.RawText], settings: dict):
    """What the counts of all parts say, and the vocabulary."""
    raw_words = sum(part.words for raw in raws for part in raw.generations)
    if not raw_words:
        raise InputError(
            f"corpus {source!r} holds no words; give text, or another tokenizer"
        )
    vocabulary, rare = build_vocabulary(
        encoding.count_words(raws), settings["min_count"], settings["max_vocabulary"]
    )
    kept = int(vocabulary.counts.sum())
    fields = {
        "raw_words": raw_words,
        "kept_words": kept,
        "dropped_by_min_count": rare,
        "dropped_by_max_vocabulary": raw_words - kept - rare,
        "bytes_read": sum(raw.bytes_read for raw in raws),
        "replaced_bytes": sum(raw.replaced_bytes for raw in raws),
    }
    return fields, vocabulary


def _join(folder: Path, team: Team, settings: dict) -> dict[str, int | str]:
    """Joins the parts' tokens; what is known when all of them are written."""
    parts = [_part(folder, i) for i in range(team.count)]
    abouts = [json.loads((part / _ABOUT).read_text()) for part in parts]
    digest = hashlib.sha256(json.dumps(settings).encode())
    for about in abouts:
        for of_file in about["digests"]:
            digest.update(of_file.encode())
    whole, *others = (part / TOKENS for part in parts)
    with whole.open("ab") as out:
        for tokens in others:
            if out.tell() and tokens.stat().st_size:
                out.write(np.int32(SENTENCE_END).tobytes())
            with tokens.open("rb") as file:
                shutil.copyfileobj(file, out, 1 << 24)
    os.replace(whole, folder / TOKENS)
    return {
        "sentences": sum(about["sentences"] for about in abouts),
        "longest_sentence": max(about["longest_sentence"] for about in abouts),
        "fingerprint": digest.hexdigest()[:32],
    }
