"""The law of made-up sessions, draws from it, and what it lets one guess.

V items are in G groups (genres, departments) of J, each standing on a ring in random
order, like beside like. With s, ℓ and m for popularity, reach and mixing:

    P(g)    ∝ g^−s                      the group of a session
    w_i     = r^−s                      attraction of the group's r-th item
    f(i, j) = w_i w_j exp(−d(i, j)/ℓ)   d places along the ring; f(i, i) = 0
    q(j|i)  = f(i, j) / Σ_k f(i, k)     the walk's next item
    π(i|g)  ∝ Σ_k f(i, k)               its stationary law
    p(i)    = P(g) π(i|g)               popularity of an item

A session draws g, a place of its ring from π, and 2 + Geometric items: with
probability 1 − m an item is the walk's next; with m it is noise, drawn from p
while the walk waits. Popular items are thus seen beside everything. f is
symmetric: a session read backwards has the same law. Every item of a session
has the law p, and

    P(next j | item i) = (1 − m)² q(j|i) + (1 − (1 − m)²) p(j)

since with probability (1 − m)² both of them are the walk's, and else i tells nothing
of j. From this follows how often, at most, ten guesses that know only the item before
hold the next one.
"""

from typing import NamedTuple

import numpy as np


class Law(NamedTuple):
    """The law of the sessions; item g·J + i is the i-th on the ring of group g."""

    group_G: np.ndarray  #: (G,) P(g)
    place_GJ: np.ndarray  #: (G, J) π(i|g)
    step_GJJ: np.ndarray  #: (G, J, J) q(j|i)
    mixing: float  #: m

    @property
    def item_V(self) -> np.ndarray:
        """(V,) p, the law of every item of a session."""
        return (self.group_G[:, None] * self.place_GJ).ravel()

    def next_JV(self, g: int) -> np.ndarray:
        """(J, V) P(next | item) for each item of a group."""
        J, walked = self.place_GJ.shape[1], (1 - self.mixing) ** 2
        next_JV = np.tile((1 - walked) * self.item_V, (J, 1))
        next_JV[:, g * J : (g + 1) * J] += walked * self.step_GJJ[g]
        return next_JV


def make_law(
    G: int, J: int, popularity: float, reach: float, mixing: float, rng
) -> Law:
    """The law that the module states, for G rings of J items."""
    group_G = np.arange(1, G + 1) ** -popularity
    weights_GJ = rng.permuted(np.tile(np.arange(1, J + 1), (G, 1)), axis=1)
    weights_GJ = weights_GJ**-popularity
    apart_JJ = np.abs(np.arange(J)[:, None] - np.arange(J))
    like_JJ = np.exp(-np.minimum(apart_JJ, J - apart_JJ) / reach)
    np.fill_diagonal(like_JJ, 0)
    flow_GJJ = weights_GJ[:, :, None] * weights_GJ[:, None] * like_JJ
    flow_GJ = flow_GJJ.sum(2)
    return Law(
        group_G / group_G.sum(),
        flow_GJ / flow_GJ.sum(1, keepdims=True),
        flow_GJJ / flow_GJ[:, :, None],
        mixing,
    )


def draw(law: Law, S: int, length: int, rng) -> tuple[np.ndarray, np.ndarray]:
    """S sessions one after another: (T,) items, and (S,) where each one ends."""
    G, J = law.place_GJ.shape
    length_S = 2 + rng.geometric(1 / (length - 2), S)
    ends_S = np.cumsum(length_S)
    tokens_T = np.empty(ends_S[-1], np.int32)
    group_S = rng.choice(G, S, p=law.group_G)
    draw_place, draw_step, draw_noise = (
        _sampler(rows, rng)
        for rows in (law.place_GJ, law.step_GJJ.reshape(G * J, J), law.item_V[None])
    )
    walk_S = group_S * J + draw_place(group_S)
    for t in range(length_S.max()):
        going = np.flatnonzero(t < length_S)
        noisy = rng.random(len(going)) < law.mixing
        steps = going[~noisy]
        walk_S[steps] = group_S[steps] * J + draw_step(walk_S[steps])
        items = walk_S[going]
        items[noisy] = draw_noise(np.zeros(noisy.sum(), int))
        tokens_T[(ends_S - length_S)[going] + t] = items
    return tokens_T, ends_S


def _sampler(rows, rng):
    """Draws a column from each of the given rows of probabilities.

    Row r climbs from r to r + 1 on one long ladder, which is searched for r + u.
    """
    R, J = rows.shape
    ladder = np.cumsum(rows, axis=1)
    ladder = (ladder / ladder[:, -1:] + np.arange(R)[:, None]).ravel()

    def sample(row_S):
        found_S = np.searchsorted(ladder, row_S + rng.random(len(row_S)), "right")
        return np.minimum(found_S - row_S * J, J - 1)  # r + u may round to r + 1

    return sample


def pairs(tokens_T: np.ndarray, ends_S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P,) every item but the last of its session, and (P,) the one after it."""
    followed_T = np.ones(len(tokens_T), bool)
    followed_T[ends_S - 1] = False
    return tokens_T[followed_T], tokens_T[1:][followed_T[:-1]]


def ceilings(law: Law) -> dict[str, dict[str, float]]:
    """Hit rate of 10 guesses and mean reciprocal rank of the next item, if another.

    Exact sums over every item and its next one, for guesses by P(next | item), which
    none can beat, and for guessing the most popular items whatever was before.
    """
    p_V = law.item_V
    G, J = law.place_GJ.shape
    popular_V = np.argsort(-p_V, kind="stable")
    reciprocal = 1 / np.arange(1, len(p_V))
    found, asked = np.zeros((2, 2)), 0.0
    for g in range(G):
        items_J = np.arange(g * J, (g + 1) * J)
        others_JV = popular_V[None] != items_J[:, None]
        by_popularity = p_V[items_J, None] * law.next_JV(g)[:, popular_V]
        by_popularity = by_popularity[others_JV].reshape(J, -1)
        by_law = np.sort(by_popularity)[:, ::-1]
        asked += by_law.sum()
        for sums, joint in zip(found, (by_law, by_popularity), strict=True):
            sums += joint[:, :10].sum(), (joint @ reciprocal).sum()
    best, popular = (found / asked).tolist()
    return {
        "best": {"hit10": best[0], "mrr": best[1]},
        "most_popular": {"hit10": popular[0], "mrr": popular[1]},
    }
