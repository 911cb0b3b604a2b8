"""How properties are searched: never against the clock."""

from hypothesis import HealthCheck, settings

settings.register_profile("latchkey", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("latchkey")
