"""The commands beside serving: what a person at the server's own terminal may do. All they need is handed over."""
