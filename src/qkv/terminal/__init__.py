"""What a person sees while a command works: progress bars, tables, files that appear whole."""
