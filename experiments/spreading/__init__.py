"""The pieces of ``experiments.scaling``.

cases.py      what is measured: meshes, processes
child.py      one process of a measurement
measuring.py  the cases in turns; a step's parts
model.py      words/s on any number of devices, from parts and links
syncing.py    quality against the steps between two merges
picture.py    both pictures
report.py     both tables
"""
