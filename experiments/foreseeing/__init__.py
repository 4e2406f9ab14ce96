"""What ``python -m experiments.train --plan`` has to find out before it can reckon.

In reading order:

    text.py   the size of a text, from its encoded form or from a sample
    speed.py  how fast a run will be, from recorded ones
"""
