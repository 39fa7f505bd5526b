"""Accuracy by audited samples: drawn from a published seed, read twice without seeing each other,
said with the interval that the sample allows.
"""
