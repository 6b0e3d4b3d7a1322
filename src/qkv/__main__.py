"""`python -m qkv` is `qkv`; `torchrun -m qkv` runs it in several processes."""

from qkv.cli.main import main

main()
