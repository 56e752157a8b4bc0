"""Errors of predicted hands, as the benchmarks measure them."""
