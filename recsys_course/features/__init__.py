"""From events to columns that a model can read: cleaning with a report, ids as numbers, windows over the past.

What scikit-learn has already is taken from there, and chapter 02b says which part that is (scaling, selection).
"""

from recsys_course.features.cleaning import CleaningReport, Finding, clean
from recsys_course.features.encoders import IdEncoder
from recsys_course.features.windows import Window, WindowFeatures

__all__ = ["CleaningReport", "Finding", "IdEncoder", "Window", "WindowFeatures", "clean"]
