"""Side by side with peers: run one as ``python -m benchmarks.NAME``.

Each prints one table of figures measured in one run, writes them with the machine and the versions to
``results/NAME.json``, and exits non-zero when a claim that it stands for does not hold.
"""

import os

# One thread each, set before NumPy is loaded: a library that takes both cores would not be a peer.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
