"""The only training loop. It knows nothing of the task that it trains."""
