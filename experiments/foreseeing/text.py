"""The size of a text before it is read: as it is encoded, or from its beginning."""

import math
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments import cli
from sgns_jax.builtin_corpora import BUILT_IN, is_built_in
from sgns_jax.config import Config
from sgns_jax.corpus import find_corpus
from sgns_jax.encoding import MAX_WORDS
from sgns_jax.files import source_files
from sgns_jax.text import (
    LINE_END,
    STDIN,
    check_files,
    expansion,
    is_plain,
    open_source,
    tokenize,
)
from sgns_jax.text_check import TextCheck
from sgns_jax.train import expected_kept
from sgns_jax.types import InputError

SAMPLE_BYTES = 64 << 20
_PIECES = 8  #: of a sample, to see its vocabulary grow


class Size(NamedTuple):
    """How large a text is."""

    tokens: int  #: T, kept words and sentence ends
    vocabulary: int  #: V
    raw_words: int
    kept: float  #: the share of raw words that training is left with
    known: str  #: how
    tokens_to_read: int = 0  #: words and line ends; 0: it is encoded already
    distinct_words: int = 0  #: that the reader has in memory at once
    spilled_words: int = 0  #: that it puts on disk, see ``sgns_jax.encoding``
    reading_seconds: float = 0.0  #: by what its beginning took on this machine
    longest_sentence: int = 0  #: kept words; of a sample: words of its longest line


def size_of(config: Config, encoded: Path, sample_bytes: int = SAMPLE_BYTES) -> Size:
    """The size of the text of a run.

    Args:
      config: its settings.
      encoded: the folder where the run keeps its encoded text.
      sample_bytes: how much of a text is read that is not there.

    Raises:
      InputError: the text cannot be read, or not ahead of the run.
    """
    return _as_encoded(config, encoded) or _from_sample(config, sample_bytes)


def _as_encoded(config: Config, folder: Path) -> Size | None:
    """The size of what ``load_corpus`` would open; None if it would have to read."""
    corpus = find_corpus(config, folder)
    if corpus is None:
        return None
    counts_V = corpus.vocabulary.counts
    return Size(
        tokens=len(corpus.tokens),
        vocabulary=len(counts_V),
        raw_words=corpus.raw_words,
        kept=expected_kept(config, counts_V) / corpus.raw_words,
        known="as it is encoded",
        longest_sentence=corpus.longest_sentence,
    )


def _from_sample(config: Config, sample_bytes: int) -> Size:
    """Reckons from the beginning of a text, which stands for the whole.

    Words are as many times more as bytes are, and seconds: to read and encode a text
    takes the reader's threads 0.8 to 1.1 times as long as this one to count it. A
    vocabulary of V words in the sample and V' in half of it grows by Heaps' law, V·f^β
    with 2^β = V/V', to the text that is f times as long; so do the words seen at least
    ``min_count`` times, and the reader's generations, each of which ends when it has
    ``MAX_WORDS``.
    """
    built_in = is_built_in(config.corpus)
    source = str(BUILT_IN[config.corpus]()) if built_in else config.corpus
    files = [] if source == STDIN else source_files(source)
    if not files or not all(file.is_file() for file in files):
        raise InputError(
            "a plan cannot read ahead on standard input or a pipe; give the text as a "
            "file, or the --workdir of a run that has read it"
        )
    whole = check_files(files, config.encoding)
    check = TextCheck(source, config.encoding, _warn)
    how = {"encoding": config.encoding, "tokenizer": config.tokenizer}
    counts, lines, grown = Counter(), 0, [(0, 0, 0)]
    longest = unfinished = 0  # words of a line
    began = time.perf_counter()
    pieces = open_source(source, -(-sample_bytes // _PIECES), **how)
    for piece in check.watch(source, pieces):
        tokens = tokenize(piece, config.tokenizer, config.lowercase)
        check.add(tokens)
        words, ids, *_ = tokens
        for word, n in zip(words, np.bincount(ids).tolist(), strict=False):
            counts[word] += n
        lengths = _line_lengths(words, ids)
        lengths[0] += unfinished
        longest, unfinished = max(longest, int(lengths.max())), int(lengths[-1])
        lines += counts.pop(LINE_END)
        counts.pop("", None)  # no token
        read = grown[-1][0] + len(piece)
        often = sum(n >= config.min_count for n in counts.values())
        grown.append((read, len(counts), often))
        if read >= sample_bytes:
            break
    seconds = time.perf_counter() - began
    total = max(whole or _expanded_bytes(files, config.encoding), read)
    f = total / read
    counts_V = np.array(sorted(counts.values(), reverse=True))
    growth, V_growth = (_growth(grown, column) for column in (1, 2))
    distinct, V = round(grown[-1][1] * f**growth), round(grown[-1][2] * f**V_growth)
    generations = (distinct / MAX_WORDS) ** (1 / growth) if distinct > MAX_WORDS else 0
    V = min(V, config.max_vocabulary or V)
    counts_V = counts_V[counts_V * f >= config.min_count][:V]
    if V < 2 or not len(counts_V):
        raise InputError(
            f"the first {read:,} bytes of {config.corpus} hold fewer than two words "
            f"{config.min_count} times; give a lower --min_count or more text"
        )
    part = "all of its" if read == total else f"the first {read / 1e6:,.1f} of"
    raw_words, kept_words = counts.total(), int(counts_V.sum())
    if config.sentence_length:
        lines += kept_words // config.sentence_length
    return Size(
        tokens=round(f * (kept_words + min(lines, kept_words))),
        vocabulary=V,
        raw_words=round(f * raw_words),
        kept=expected_kept(config, counts_V) / raw_words,
        known=f"about, by {part} {total / 1e6:,.1f} MB",
        tokens_to_read=round(f * (raw_words + lines)),
        distinct_words=min(distinct, MAX_WORDS),
        spilled_words=round(generations * MAX_WORDS),
        reading_seconds=f * seconds,
        longest_sentence=min(longest, config.sentence_length or longest),
    )


def _line_lengths(words: list[str], ids: np.ndarray) -> np.ndarray:
    """Words of each line of a piece; its first and last ones may go on outside."""
    is_token = np.array([word != "" for word in words])
    ends = np.append(ids[is_token[ids]] == 0, True)  # 0 is ``LINE_END``, see ``Tokens``
    return np.diff(np.flatnonzero(ends), prepend=-1) - 1


def _growth(grown: list[tuple[int, int, int]], column: int) -> float:
    """Heaps' exponent of a column of (bytes, distinct words, frequent ones)."""
    last = grown[-1]
    half = min(grown, key=lambda row: abs(row[0] - last[0] / 2))
    if not half[column] or half == last:  # too little to see it grow: at most as f
        return 1.0
    exponent = math.log(last[column] / half[column]) / math.log(last[0] / half[0])
    return max(exponent, 0.1)  # a text may repeat itself


def _expanded_bytes(files: list[Path], encoding: str) -> int:
    """Size of a text that is packed or encoded, by how far one file's start expands."""
    plain = [is_plain(file, encoding) for file in files]
    ratio = expansion(files[plain.index(False)], encoding)
    ratios = np.where(plain, 1.0, ratio)
    return round(float(ratios @ [file.stat().st_size for file in files]))


def _warn(line: str) -> None:
    print(cli.wrapped(f"warning: {line}"), file=sys.stderr)
