"""At the top, so that it holds for whatever part of the course pytest is asked to run."""

from hypothesis import settings

pytest_plugins = ["authoring.nbval_plugin"]

# No test is timed: the first example of many pays for compiling what it tests.
settings.register_profile("course", deadline=None)
settings.load_profile("course")
