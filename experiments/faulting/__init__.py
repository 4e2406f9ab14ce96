"""What a training survives: what ``python -m experiments.faults`` is made of.

In reading order:

    zipf.py        a text of any size with the law of natural ones
    texts.py       a corpus that has everything a reader must cope with
    child.py       a training in a process of its own, watched from outside
    damage.py      what is done to a training and to its files
    losses.py      what a fault cost, and whether memory grows
    disturbing.py  the sittings of a run: when, what, and what it cost
    soak.py        a training left alone, then disturbed again and again
    large.py       a text larger than memory against one that fits
    cost.py        trainings with many checkpoints against some with none
    reading.py     a text against what a few lines of Python find in it
    verdicts.py    what must hold, what was measured
    report.py      tables
    picture.py     rounds done and memory over time
"""
