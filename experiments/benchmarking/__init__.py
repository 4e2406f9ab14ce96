"""The benchmark: what ``python -m experiments.benchmark`` is made of.

In reading order:

    plan.py      settings, programs, the order of the runs
    texts.py     the one plain text that every program reads, and the pairs in it
    programs.py  how each program is started, and what it says of itself
    peers.py     the process that trains gensim or fastText
    running.py   one training in a process of its own: its time, memory and numbers
    launch.py    starts a command and measures it from outside
    records.py   benchmark.json while it grows
    summary.py   medians, ratios, time to quality, targets
    tables.py    the same for the terminal
    plots.py     and as pictures
"""
