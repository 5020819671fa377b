"""The benchmarks: each row runs next to its reference, alternating, in the same run.

``make bench``, ``make bench ROWS=emit,get``, ``make bench QUICK=1``. No test runs any of this.
"""
