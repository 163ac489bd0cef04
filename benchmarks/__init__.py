"""Side by side with peers: run one as ``python -m benchmarks.NAME``.

Each prints one table of figures measured in one run, writes them with the machine and the versions to
``results/NAME.json``, and exits non-zero when a claim that it stands for does not hold.
"""

import os

# One thread each, set before NumPy is loaded: a library that takes both cores would not be a peer.
for library in ("OMP", "OPENBLAS", "MKL", "NUMBA", "TF_NUM_INTRAOP", "TF_NUM_INTEROP"):
    os.environ.setdefault(f"{library}_THREADS" if library.startswith("TF") else f"{library}_NUM_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow is talkative when it is loaded
