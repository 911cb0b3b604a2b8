"""The operations, as plain async functions with the caller first. `change` is the only way to write."""
