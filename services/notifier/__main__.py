"""`python -m services.notifier`."""

from services.notifier.app import build
from services.notifier.settings import Settings
from services.notifier.subscribers import SERVICE
from shared.service import main

if __name__ == "__main__":
    main(SERVICE, Settings, build)
