"""What the command line does with a scorer: nothing of its own yet; `qkv draw --scorer` orders pictures by it."""
