"""The catalogue of bad input: what each defect is answered with, as data. Every test of bad input reads its rows from here."""
