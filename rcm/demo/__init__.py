"""The living demo: an invented billing office, made only by driving the product's own services and
the payer simulator through a calendar.
"""
