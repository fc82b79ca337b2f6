"""``python -m services.validation``."""

from services.validation.app import build
from services.validation.processing import SERVICE
from services.validation.settings import Settings
from shared.service import main

if __name__ == "__main__":
    main(SERVICE, Settings, build)
