"""Where the time of a training step goes.

In reading order:

    parts.py     the step taken apart into functions
    loops.py     a function in a compiled loop on the device, timed
    training.py  loops of the parts and of the step, and fit itself
    ceilings.py  what the machine does at its best
    work.py      bytes and floating-point operations of the parts, counted
    summary.py   time, work and ceiling of a part brought together
    tables.py    all of it in 80 columns
    plots.py     and as a picture
"""
