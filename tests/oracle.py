"""SGNS in NumPy float64, by explicit loops, importing nothing of ours.

Written from the paper (arXiv 1310.4546, equation 4) to be checked by eye, not to be
fast. Everything takes and returns plain arrays.
"""

import numpy as np


def softplus(x):
    """log(1 + e^x) without overflow; −log σ(x) = softplus(−x)."""
    return max(x, 0.0) + np.log1p(np.exp(-abs(x)))


def sigmoid(x):
    e = np.exp(-abs(x))
    return 1 / (1 + e) if x >= 0 else e / (1 + e)


def pair_loss(w_in, w_out, center, context, negatives, weights=None):
    """−log σ(u_o·v_c) − Σ_k weight_k log σ(−u_k·v_c)."""
    w_in, w_out = np.asarray(w_in, np.float64), np.asarray(w_out, np.float64)
    weights = np.ones(len(negatives)) if weights is None else weights
    loss = softplus(-(w_out[context] @ w_in[center]))
    for k, weight in zip(negatives, weights, strict=True):
        loss += weight * softplus(w_out[k] @ w_in[center])
    return loss


def pair_gradient(w_in, w_out, center, context, negatives, weights=None):
    """(∂L/∂w_in, ∂L/∂w_out), dense."""
    w_in, w_out = np.asarray(w_in, np.float64), np.asarray(w_out, np.float64)
    weights = np.ones(len(negatives)) if weights is None else weights
    d_in, d_out = np.zeros_like(w_in), np.zeros_like(w_out)
    v = w_in[center]
    terms = [(context, -sigmoid(-(w_out[context] @ v)))]
    for k, weight in zip(negatives, weights, strict=True):
        terms.append((k, weight * sigmoid(w_out[k] @ v)))
    for word, g in terms:
        d_in[center] += g * w_out[word]
        d_out[word] += g * v
    return d_in, d_out


def noise_distribution(counts, exponent):
    weights = np.array([float(f) ** exponent if f > 0 else 0.0 for f in counts])
    return weights / weights.sum()


def keep_probability(counts, threshold, rule):
    frequency = np.asarray(counts, np.float64) / np.sum(counts)
    keep = np.sqrt(threshold / frequency)
    if rule == "word2vec":
        keep = keep + threshold / frequency
    return np.minimum(keep, 1)


def positives(sentences, half_windows):
    """(centre, context) positions over sentences laid end to end.

    ``half_windows`` has one number for each token.
    """
    pairs, start = [], 0
    for sentence in sentences:
        end = start + len(sentence)
        for i in range(start, end):
            b = half_windows[i]
            for j in range(max(start, i - b), min(end, i + b + 1)):
                if j != i:
                    pairs.append((i, j))
        start = end
    return pairs
