"""The statistics of the estimator: what ``python -m experiments.estimator`` is made of.

In reading order:

    checks.py    what a check measures and allows; the table
    exact.py     every draw of noise, every subsampling, of a tiny text
    gradient.py  mean and variance of a step's gradient, in closed form and drawn
    curves.py    the variance against K, N and the exponent
    sampling.py  the sampler of noise words by chi-square
    pairs.py     subsampling and dynamic windows against their closed form
    plots.py     the picture

Closed forms are NumPy's, draws are the library's own.
"""
