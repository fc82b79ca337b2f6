"""``python -m services.registry``."""

from services.registry.app import build
from services.registry.processor import SERVICE
from services.registry.settings import Settings
from shared.service import main

if __name__ == "__main__":
    main(SERVICE, Settings, build)
