"""What can be looked at inside a painter: the self-attention of its decoder, layer by layer and head by head.

`Dalle.forward` records it. Every token of the caption and every code of the picture looks back at the caption, which
its words are laid over, and at the codes before it, which lie on the picture's grid row by row.
"""
