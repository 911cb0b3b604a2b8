"""The database engines that Tortoise drives: the stock ones do not survive a cancelled task."""
