"""Screens of what is between an office and a patient: holds, assistance, the agency, the mail."""
