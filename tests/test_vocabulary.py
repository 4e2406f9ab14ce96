"""Which words are kept, and in which order."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sgns_jax.types import InputError
from sgns_jax.vocabulary import (
    COUNTED,
    Vocabulary,
    build_vocabulary,
    load_vocabulary,
    save_vocabulary,
)

COUNTS = st.dictionaries(
    st.text(min_size=1, max_size=3).filter(lambda word: word.split() == [word]),
    st.integers(1, 9),
    max_size=12,
)


def build(words, counts, *limits, parts: int = 1, **options) -> tuple[Vocabulary, int]:
    table = pa.table([words, counts], schema=COUNTED)
    size = -(-len(table) // parts)
    tables = [table.slice(part * size, size) for part in range(parts)]
    return build_vocabulary(tables, *limits, **options)


def test_most_frequent_first_then_by_word():
    words = ["once", "b", "a", "Z", "é", "most"]
    vocabulary, dropped = build(words, [1, 5, 5, 5, 5, 6], min_count=5)
    assert vocabulary.words == ("most", "Z", "a", "b", "é")
    assert vocabulary.counts.tolist() == [6, 5, 5, 5, 5]
    assert vocabulary.counts.dtype == np.int64
    assert len(vocabulary) == 5 and dropped == 1


@settings(deadline=None, max_examples=100)
@given(COUNTS, st.integers(1, 5), st.integers(0, 6), st.randoms(), st.integers(1, 12))
def test_kept_words_and_their_order(counts, min_count, max_vocabulary, random, parts):
    """However the words come, the same ones are kept in the same order."""
    pairs = list(counts.items())
    random.shuffle(pairs)
    words, numbers = [word for word, _ in pairs], [count for _, count in pairs]
    kept = {word: count for word, count in counts.items() if count >= min_count}
    best = sorted(kept, key=lambda word: (-kept[word], word))
    best = best[:max_vocabulary] if max_vocabulary else best
    if len(best) < 2:
        with pytest.raises(InputError):
            build(words, numbers, min_count, max_vocabulary, parts=parts)
    else:
        vocabulary, dropped = build(
            words, numbers, min_count, max_vocabulary, parts=parts
        )
        assert dropped == sum(numbers) - sum(kept.values())
        assert list(vocabulary.words) == best
        assert vocabulary.counts.tolist() == [kept[word] for word in best]


@settings(deadline=None, max_examples=50)
@given(COUNTS)
def test_what_is_saved_is_loaded(tmp_path_factory, counts):
    counts = Counter({"nul\x00": 7, '"quoted,"': 3, "\u200b\ufeff": 2}) | counts
    vocabulary, _ = build(list(counts), list(counts.values()), min_count=1)
    path = tmp_path_factory.mktemp("vocabulary") / "vocabulary.tsv"
    save_vocabulary(vocabulary, path)
    loaded = load_vocabulary(path)
    assert loaded.words == vocabulary.words
    np.testing.assert_array_equal(loaded.counts, vocabulary.counts, strict=True)


def test_errors():
    with pytest.raises(InputError, match="most frequent one occurs 0 times"):
        build([], [], min_count=5)
    with pytest.raises(
        InputError, match="most frequent one occurs 4 .* lower min_count"
    ):
        build(["a", "b"], [4, 2], min_count=5)
    with pytest.raises(InputError, match="single word 'a', the model needs two"):
        build(["a", "b"], [4, 2], min_count=3)
    with pytest.raises(InputError, match="single word 'a{2,40}[.]{3}a{2,40}', the"):
        build(["a" * 999], [4], min_count=3)
    with pytest.raises(InputError, match="single word 'a'.* a larger vocabulary"):
        build(["a", "b"], [4, 2], min_count=1, max_vocabulary=1)
