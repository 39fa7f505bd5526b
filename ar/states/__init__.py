"""The fifty states and the District of Columbia: what is known of each, from which source, and what
late payers owe by it. What nobody has verified is shown as such and asserts nothing.
"""
