from hypothesis import settings

# A machine that is shared takes its time; what a property costs is for the benchmarks to say.
settings.register_profile("headrace", deadline=None)
settings.load_profile("headrace")
