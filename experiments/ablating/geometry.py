"""How a model's word vectors lie in space, whatever they are good for.

The loss says nothing of it: v → v·A with u → u·A⁻ᵀ leaves every score as it is. So it
is a property of training from small vectors, and none of these numbers is a score.

Over the v of the text's most frequent words; a neighbour is one of the 10 others among
them with the largest cosine.
"""

import numpy as np

from experiments.ablating.measure import Measure
from experiments.ablating.theory import correlation, frequent

WORDS = 3_000  #: all cosines of as many take 0.1 s
NEIGHBOURS = 10

MEASURES = {
    "mean_norm": Measure(
        "Mean length",
        "Mean length of the word vectors; it varies with a word's frequency and with "
        "how much its contexts agree (Schakel & Wilson 2015).",
        better=0,
    ),
    "common_direction": Measure(
        "Common direction",
        "Length of the mean of the unit vectors: 0 if they point everywhere, 1 if all "
        "one way. Vectors of SGNS lie in a narrow cone (Mimno & Thompson 2017; Mu & "
        "Viswanath 2018).",
        better=0,
    ),
    "effective_rank": Measure(
        "Effective rank",
        "Dimensions that the vectors fill: exp of the entropy of the singular values' "
        "shares of their sum, 1 to D (Roy & Vetterli 2007).",
        better=0,
    ),
    "neighbour_frequency": Measure(
        "Frequency of neighbours",
        "Mean of log10 count over neighbours minus that over words: above 0 if "
        "frequent words are neighbours of many, below 0 if rare ones are.",
        better=0,
    ),
    "frequency_correlation": Measure(
        "Frequency bias",
        "Spearman's correlation of a word's count and its neighbours' mean log count: "
        "above 0 if vectors tell frequency as well as meaning (Schnabel et al. 2015; "
        "Gong et al. 2018).",
        better=0,
    ),
    "hubness": Measure(
        "Hubness",
        "Skewness of how many words a word is a neighbour of: 0 if all are alike, "
        "large if a few are neighbours of very many (Radovanović et al. 2010).",
        better=0,
    ),
}


def measure(v_VD: np.ndarray, counts_V: np.ndarray) -> dict[str, float]:
    """``MEASURES`` of the (V, D) word vectors, of words with the given counts."""
    words_M = frequent(counts_V, WORDS)
    v_MD, log_count_M = v_VD[words_M], np.log10(counts_V[words_M])
    length_M = np.linalg.norm(v_MD, axis=1)
    unit_MD = v_MD / np.where(length_M > 0, length_M, 1)[:, None]
    near_MN = neighbours(unit_MD)
    near_log_count_M = log_count_M[near_MN].mean(axis=1)
    return {
        "mean_norm": float(length_M.mean()),
        "common_direction": float(np.linalg.norm(unit_MD.mean(axis=0))),
        "effective_rank": effective_rank(v_MD),
        "neighbour_frequency": float(np.mean(near_log_count_M - log_count_M)),
        "frequency_correlation": spearman(log_count_M, near_log_count_M),
        "hubness": skewness(np.bincount(near_MN.ravel(), minlength=len(near_MN))),
    }


def neighbours(unit_MD: np.ndarray) -> np.ndarray:
    """The rows nearest to each row of unit vectors, itself left out, in no order."""
    number = min(NEIGHBOURS, len(unit_MD) - 1)
    cosines_MM = unit_MD @ unit_MD.T
    np.fill_diagonal(cosines_MM, -np.inf)
    return np.argpartition(cosines_MM, -number, axis=1)[:, -number:]


def effective_rank(v_MD: np.ndarray) -> float:
    """exp(−Σ p_i·log p_i) of p_i = σ_i / Σ_j σ_j; the origin stays where it is."""
    sigma_D = np.linalg.svd(v_MD, compute_uv=False).astype(np.float64)
    p = sigma_D[sigma_D > 0] / sigma_D.sum()
    return float(np.exp(-np.sum(p * np.log(p))))


def skewness(n_M: np.ndarray) -> float:
    """E[(n − E n)³] / E[(n − E n)²]^(3/2); 0 if all are equal."""
    centred_M = n_M - n_M.mean()
    spread = np.sqrt(np.mean(centred_M**2))
    return float(np.mean(centred_M**3) / spread**3) if spread > 0 else 0.0


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rank correlation: Pearson's of the ranks."""
    from scipy.stats import rankdata  # not before: a second that others need not wait

    return correlation(rankdata(x), rankdata(y))
