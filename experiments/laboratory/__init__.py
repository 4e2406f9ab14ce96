"""The gradient laboratory: what ``python -m experiments.gradient_check`` is made of.

In reading order:

    problems.py         losses of the library at points that hurt, and the same losses
                        written out term by term: the pair, the batch, the expectation
    block_problems.py   the same for blocks and for the step that trains
    answers.py          six independent answers to "what is the gradient?"
    bounds.py           how far one answer may be from another, and why; comparing them
    examinations.py     which problem meets which answer, in which dtype
    transformations.py  the gradient without jit, under vmap and scan, sharded
    second_order.py     the Hessian times a direction; the bound on the curvature
    sampling.py         are the noise words fresh, and from P_n?
    curves.py           error against step, error against score
    running.py          examinations side by side
    mutants.py          known wrong derivations, to see the laboratory fail
    text.py             tables for the terminal
    pictures.py         the two curves drawn

A derivation of one's own is a ``problems.Quantity``; with a point and the terms of its
loss it makes a ``Problem`` for ``examinations.examine``. Terms have any labels and
weights; a loss that is no sum of such terms is refused.
"""
