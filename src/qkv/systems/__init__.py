"""One folder a system; each holds everything that only it needs, in files of the same names."""
