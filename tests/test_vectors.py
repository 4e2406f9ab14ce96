"""Word vectors: queries by hand and against gensim."""

import math

import numpy as np
import pytest
from gensim.models import KeyedVectors
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sgns_jax.evaluation_files import read_pairs
from sgns_jax.types import InputError
from sgns_jax.vectors import UnknownWordError, WordVectors

quick = settings(deadline=None, max_examples=40)

float32s = st.floats(width=32, allow_nan=False, allow_infinity=False)
characters = st.characters(exclude_categories=["Cs"], exclude_characters=" \n")


@st.composite
def word_vectors(draw) -> WordVectors:
    words = draw(
        st.lists(st.text(characters, min_size=1), min_size=1, max_size=6, unique=True)
    )
    shape = (len(words), draw(st.integers(1, 4)))
    return WordVectors(
        tuple(words), draw(hnp.arrays(np.float32, shape, elements=float32s))
    )


def test_looks_up_words(royal):
    assert len(royal) == 6 and list(royal) == list(royal.words)
    assert "king" in royal and "King" not in royal
    assert royal.index("king") == 3
    np.testing.assert_array_equal(royal["king"], [1, 0, 1])


def test_unknown_word_suggests_near_ones(royal):
    for kind in (InputError, KeyError, UnknownWordError):
        with pytest.raises(
            kind, match="'KINGS' is not in the vocabulary; near: 'king'"
        ):
            royal["KINGS"]
    with pytest.raises(UnknownWordError) as error:
        royal.similarity("king", "zzz")
    assert str(error.value) == "word 'zzz' is not in the vocabulary"
    with pytest.raises(UnknownWordError, match="near: 'NASA'"):
        WordVectors(("NASA",), [[1.0]]).index("nasa")


def test_similarity_is_the_cosine(royal):
    assert royal.similarity("man", "king") == pytest.approx(math.sqrt(0.5))
    assert royal.similarity("man", "apple") == -1
    assert royal.similarity("the", "man") == 0


@pytest.mark.parametrize("scale", [1e-40, 1e-20, 1, 1e30])
def test_normalized_rows_have_length_one_whatever_their_size(scale):
    matrix = np.array([[3, 4], [0, 0]], np.float64) * scale
    unit = WordVectors(("a", "b"), matrix).normalized
    assert unit.dtype == np.float32
    # 1e-40 is subnormal in float32: 5 digits are left of it
    np.testing.assert_allclose(unit, [[0.6, 0.8], [0, 0]], rtol=1e-4)


def test_nearest_leaves_out_the_query_word(royal):
    assert [word for word, _ in royal.nearest("king", top=3)] == [
        "queen",
        "man",
        "woman",
    ]
    assert royal.nearest("man", top=1) == [("woman", pytest.approx(math.sqrt(0.5)))]
    assert len(royal.nearest("king", top=100)) == 5
    assert WordVectors(("a",), [[1.0]]).nearest("a") == []


def test_nearest_to_a_vector_leaves_out_nothing(royal):
    assert royal.nearest(royal["king"] * 1e-30, top=1) == [("king", pytest.approx(1))]
    assert royal.nearest(np.zeros(3), top=6)[0] == ("the", 0.0)


def test_of_equally_near_words_the_more_frequent_stands_first():
    words = tuple("abcdefgh")
    vectors = WordVectors(words, np.ones((8, 2)))
    assert [word for word, _ in vectors.nearest("d", top=4)] == ["a", "b", "c", "e"]


@quick
@given(word_vectors(), st.integers(1, 7))
def test_nearest_is_the_sorted_list_of_cosines(vectors, top):
    query = vectors.words[0]
    rest = vectors.words[1:]
    cosines = sorted((vectors.similarity(query, word) for word in rest), reverse=True)
    found = vectors.nearest(query, top)
    # Both sum D ≤ 4 products of unit vectors in float32, in whatever order.
    assert [c for _, c in found] == pytest.approx(cosines[:top], abs=1e-6)
    assert query not in dict(found)


def test_analogy_is_3cosadd_without_the_three(royal):
    # man : king = woman : ? With unit vectors, king itself would be nearest.
    assert royal.analogy("man", "king", "woman", top=1)[0][0] == "queen"
    assert len(royal.analogy("man", "king", "woman", top=10)) == 3
    unit = royal.normalized
    target = unit[3] - unit[1] + unit[2]
    expected = float(unit[4] @ target / np.linalg.norm(target))
    assert royal.analogy("man", "king", "woman")[0][1] == pytest.approx(expected)


def test_agrees_with_gensim_on_neighbours_and_analogies():
    words = tuple(f"w{i}" for i in range(50))
    matrix = np.random.default_rng(0).standard_normal((50, 8), np.float32)
    ours, theirs = WordVectors(words, matrix), KeyedVectors(8)
    theirs.add_vectors(list(words), matrix)
    for found, expected in [
        (ours.nearest("w3", 5), theirs.most_similar("w3", topn=5)),
        (
            ours.analogy("w1", "w2", "w3", 5),
            theirs.most_similar(positive=["w2", "w3"], negative=["w1"], topn=5),
        ),
    ]:
        assert [word for word, _ in found] == [word for word, _ in expected]
        assert [c for _, c in found] == pytest.approx(
            [c for _, c in expected], abs=1e-6
        )


def test_refuses_bad_queries(royal):
    with pytest.raises(InputError, match="must be 3 finite numbers, got shape"):
        royal.nearest(np.ones(4))
    with pytest.raises(InputError, match="must be 3 finite numbers"):
        royal.nearest(np.array([1, np.nan, 0]))
    with pytest.raises(InputError, match="top must be 1 or more, got 0"):
        royal.nearest("king", top=0)


@pytest.mark.parametrize(
    "words, matrix, message",
    [
        (("a", "b"), np.ones((3, 2)), "2 words and a matrix of shape .3, 2."),
        (("a",), np.ones(3), "matrix of shape .3,."),
        ((), np.ones((0, 3)), "0 words"),
        (("a",), np.ones((1, 0)), "at least one number"),
        (("a", ""), np.ones((2, 2)), "word 2 is empty"),
        (("a", "b", "b"), np.ones((3, 2)), "word 'b' appears twice"),
        (("a", "b"), [[1.0], [math.nan]], "the vector of 'b' is not finite"),
        (("a",), [[1e300]], "the vector of 'a' is not finite"),
        ((10, 20), np.eye(2), r"word 1 is 10, which is no string; give str\(word\)"),
        (("a", b"b"), np.eye(2), "word 2 is b'b', which is no string"),
        (("a",), [["x"]], "must hold real numbers"),
        (("a",), [[1j]], "must hold real numbers"),
    ],
)
def test_refuses_words_and_rows_that_do_not_fit(words, matrix, message):
    with pytest.raises(InputError, match=message):
        WordVectors(words, matrix)


def test_an_error_shows_little_of_a_long_word(tmp_path):
    word = "x" * 10_000
    (tmp_path / "short.txt").write_text(f"1 2\n{word} 0\n")
    (tmp_path / "pairs.tsv").write_text(word)
    spaced = WordVectors([word + " x"], [[1]])
    for refused in (
        lambda: WordVectors([word, word], [[1], [2]]),
        lambda: WordVectors([word], [[np.nan]]),
        lambda: WordVectors([word.encode()], [[1]]),
        lambda: spaced[word],
        lambda: spaced.save(tmp_path / "new.txt"),
        lambda: WordVectors.load(tmp_path / "short.txt"),
        lambda: read_pairs(tmp_path / "pairs.tsv"),
    ):
        with pytest.raises(InputError) as error:
            refused()
        assert "xx..." in str(error.value) and len(str(error.value)) < 400


def test_what_becomes_of_the_callers_array_changes_nothing():
    for mine in (np.eye(2, dtype=np.float32), np.eye(2)):
        vectors = WordVectors(("a", "b"), mine)
        mine[1] = [1, 0]  # would make b the same as a
        assert vectors["b"].tolist() == [0, 1] and vectors.similarity("a", "b") == 0


def test_no_array_can_be_changed_behind_what_is_computed_from_it(royal):
    for array in (royal.matrix, royal.normalized, royal["king"]):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0


def test_an_array_that_nobody_writes_to_is_not_copied():
    matrix = np.eye(2, dtype=np.float32)
    matrix.flags.writeable = False
    assert WordVectors(("a", "b"), matrix).matrix is matrix
