"""Factorization and rounding, each alone and together: are their losses independent?"""
