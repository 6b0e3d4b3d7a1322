"""What can be looked at inside a scorer: the self-attention of its two encoders, layer by layer and head by head.

In the encoder of pictures it is laid over the patches of a picture. In that of captions every token looks at the words
before it, and the last position, which has seen all of them, is what the picture is compared with.
"""
