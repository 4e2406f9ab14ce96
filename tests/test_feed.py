"""What devices are handed of a text, and what is refused on the way."""

import jax
import numpy as np
import pytest

from sgns_jax.config import Config
from sgns_jax.feed import hand_over
from sgns_jax.types import SENTENCE_END, InputError

TOKENS = np.array([1, 2, 3, SENTENCE_END, 4, 5], np.int32)


def handed(config, V, start=0):
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    segments = jax.ShapeDtypeStruct((2, 4), np.int32, sharding=here)
    return np.asarray(hand_over(config, V, TOKENS, start, 3, segments))


def test_segments_follow_each_other_and_end_with_the_text():
    end = SENTENCE_END
    np.testing.assert_array_equal(
        handed(Config(), 6), [[1, 2, 3, end], [end, 4, 5, end]]
    )
    np.testing.assert_array_equal(handed(Config(), 6, 5), [[5, *[end] * 3], [end] * 4])


def test_ids_outside_the_vocabulary_are_refused():
    with pytest.raises(InputError, match="hold ids from -1 to 5, .* has ids 0 to 4;"):
        handed(Config(), 5)


def test_a_sentence_longer_than_stated_is_refused():
    """Blocks have no room for its pairs, unless windows are shorter still."""
    with pytest.raises(InputError, match="of 3 words, the .* sentence_length = 2;"):
        handed(Config(sentence_length=2), 6)
    for right in Config(sentence_length=3), Config(sentence_length=2, window=1):
        handed(right, 6)
