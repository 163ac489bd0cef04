"""Recommenders That Keep Learning: the helper library of the course.

One road, walked in one direction; each stop is a module that can be read in one sitting::

    events -> data -> features -> candidates, plan -> models -> strategies -> replay -> metrics -> report -> plot

Importing the package loads none of them: each chapter imports the stops that it uses.
"""

__version__ = "0.1.0"
