"""What `geomclip bench` measures: time, memory and error of the kernels against what else there is.

config     which case is measured; without torch
formulas   the textbook formulas that others compute, from their papers
peers      geoopt and hypll by broadcasting, where they are installed
pairwise, loss, rowwise   the three subjects: competitors on the same inputs, and their errors
timing, memory   the two instruments
runner     measures a case; result, table, plot   what it gives
"""
