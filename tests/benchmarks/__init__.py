"""The benchmarks: each row runs next to its reference, alternating, in the same run.

``make bench``, ``make bench ROWS=emit,get``; ``make bench QUICK=1`` is the smoke test of the gate.
"""
