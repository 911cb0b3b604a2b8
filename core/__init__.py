"""The pure heart: words, policies, decisions, secrets and the chain. Standard library only, no clock, no I/O."""
