"""The letters, and the containers that travel between modules.

Letters (axis suffixes of array names):

    V  vocabulary size             D  dimension of a vector
    W  largest half-window         K  negatives per positive
    N  shared noise words a block  B  blocks a step
    C  centres a block             E = C + 2W  positions a block spans
    M = 2W·K  noise words of one centre when every pair draws its own
    T  corpus tokens               R  touched rows
    L  replicas on a device

Symbols: v a centre ("input") vector, a row of ``w_in``; u a context ("output")
vector, a row of ``w_out``; s = u·v a score; σ(s) = 1 / (1 + exp(−s)); P_n the
noise distribution, P_n(w) ∝ f(w)^α.
"""

import reprlib
from typing import NamedTuple

import jax

SENTENCE_END = -1  #: in a token stream, stands between sentences and fills its end


class InputError(ValueError):
    """What the user gave cannot be used.

    The message is one line: what was given, what is needed, what to do. The
    experiment scripts print it and exit with status 2.
    """


_SHORT = reprlib.Repr()
_SHORT.maxstring = 60
#: ``repr`` for what a message shows of a user's text, which may be of any length.
shown = _SHORT.repr


class Params(NamedTuple):
    """The model: two tables of word vectors."""

    w_in: jax.Array  #: (V, D) centre vectors v; the word vectors one keeps
    w_out: jax.Array  #: (V, D) context vectors u
