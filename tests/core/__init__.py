"""What the core promises: laws as properties, tables from the specification."""
