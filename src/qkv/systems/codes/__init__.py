"""Pictures to codes and back: the discrete VAE."""
