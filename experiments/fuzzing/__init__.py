"""Readers given damaged files, over and over.

In reading order:

    guard.py     one reader, one input: what it may cost, what it came to
    metadata.py  reading the files of a run
    readers.py   every reader, with files that it accepts
    inputs.py    files like those, damaged
    engine.py    a process that gives a reader inputs until the time is over
    running.py   such processes, started and judged
"""
