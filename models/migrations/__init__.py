"""How the database came to be, step by step. Applied by `models.migrator` alone."""
