"""How speed depends on sizes: what ``python -m experiments.sweep`` is made of.

In reading order:

    plan.py      what is varied, and the points where speed is measured
    measuring.py the text made for a point, the memory it needs, its time
    report.py    medians, ratios to the base point, tables
    picture.py   a panel for each setting
"""
