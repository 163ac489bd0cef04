"""Side by side with peers: run one as ``python -m benchmarks.NAME``.

Each prints one table of figures measured in one run, writes them with the machine and the versions to
``results/NAME.json``, and exits non-zero when a claim that it stands for does not hold.
"""
