"""The settings about the platform's own services, as the third stage counts."""

from services.monitoring.presence import Limits
from services.monitoring.settings import MonitoringSettings
from services.monitoring.shortages import ShortageLimits


def presence_limits(own: MonitoringSettings) -> Limits:
    """When a service is silent or not ready."""
    return Limits(int(own.service_silent * 1000), int(own.service_not_ready * 1000))


def resource_limits(own: MonitoringSettings) -> ShortageLimits:
    """When a process runs short of something; a 0 switches that off."""
    return ShortageLimits(
        memory_share=own.service_memory or None,
        memory_ms=int(own.service_memory_seconds * 1000),
        growth_hours=own.service_memory_growth_hours or None,
        cpu_share=own.service_cpu or None,
        cpu_ms=int(own.service_cpu_seconds * 1000),
        lag_seconds=own.service_cpu_lag,
        gpu_memory_share=own.service_gpu_memory or None,
    )
