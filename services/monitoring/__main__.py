"""`python -m services.monitoring`."""

from services.monitoring.app import SERVICE, build
from services.monitoring.settings import Settings
from shared.service import main

if __name__ == "__main__":
    main(SERVICE, Settings, build)
