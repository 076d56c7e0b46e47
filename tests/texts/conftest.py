"""Property tests here are about texts, not about how busy the machine is."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "texts", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("texts")
