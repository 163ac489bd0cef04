"""What only authors run: it builds the notebooks from their sources, and holds the course to its own rules.

=============== ==========================================================================
course          where everything is, and what is built from what
sources         a py:percent file as a notebook that comes out the same every time
execute         a notebook run from top to bottom, and what is refused in its outputs
exercises       the student notebook and the solution from one file, and the proof of each check
references      the references that chapters cite; the errata and the cells that prove them
prose           numbers in prose are numbers that a cell prints
rules           the checks of one notebook
build, check    the two commands, `make notebooks` and `make check`
nbval_plugin    how pytest runs the notebooks
=============== ==========================================================================

The library never imports this package.
"""
