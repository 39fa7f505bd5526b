"""Key figures: each one declared with formula, rows, target and version; the figure is the sum of
exactly the rows it drills to.
"""
