"""The command line: one thin file a verb, and everything they can delegate elsewhere."""
