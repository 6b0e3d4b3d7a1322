"""What can be looked at inside a discrete VAE: no attention. It is made of convolutions alone (`qkv.models.dvae`).

Which codes it gives to which places of a picture says all that a painter gets to know of it; `Codes.encode` tells.
"""
