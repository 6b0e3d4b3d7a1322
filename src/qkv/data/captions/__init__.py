"""Pictures with captions: where they are, their texts and codes, and batches of them."""
