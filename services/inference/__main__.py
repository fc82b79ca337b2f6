"""``python -m services.inference``: run the service until SIGTERM or SIGINT."""

from services.inference.app import build
from services.inference.partition_scoring import SERVICE
from services.inference.settings import Settings
from shared.service import main

if __name__ == "__main__":
    main(SERVICE, Settings, build)
