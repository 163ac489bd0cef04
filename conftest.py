"""At the top, so that it holds for whatever part of the course pytest is asked to run."""

pytest_plugins = ["authoring.nbval_plugin"]
