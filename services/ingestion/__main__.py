"""``python -m services.ingestion``."""

from services.ingestion.app import SERVICE, build
from services.ingestion.settings import Settings
from shared.service import main

if __name__ == "__main__":
    main(SERVICE, Settings, build)
