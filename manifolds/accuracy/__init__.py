"""Accuracy of every operation, measured against a high-precision reference of its own.

exact       high-precision vectors (mpmath, the `test` extra)
reference   the manifolds from their definitions
composed    the half-space and a product from those
sampling    where to measure: kinds of pairs, vectors and steps
regimes     what to measure, with its limits
measure     the error of an implementation in a regime
ours, peers, textbook    implementations
table       all of it, as text

`python -m manifolds.accuracy --table` prints the table and exits with 1 if a regime misses its
limit.
"""
