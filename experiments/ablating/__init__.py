"""Which K, which exponent: what ``python -m experiments.ablation`` is made of.

In reading order:

    plan.py        the grid, the seeds, the budgets
    exam.py        what models are asked, by the domain of the text
    words.py       held-out contexts, people's judgements: measures of words
    items.py       the next item of a session: measures of items
    held_out.py    what a model is not trained on, and how it ranks it
    theory.py      scores against the optimum that theory has for them
    geometry.py    how vectors lie in space
    measure.py     what a measure is
    training.py    many models at once, in turns
    store.py       models.json, where an interrupted ablation goes on
    records.py     points of the grid, names, the table of all values
    statistics.py  means, paired differences, intervals
    pictures.py    heat maps and curves
    summary.py     the answer in sentences and tables
    page.py        report.html
"""
