"""``python -m services.training``."""

from services.training.app import SERVICE, build
from services.training.settings import Settings
from shared.service import main

if __name__ == "__main__":
    main(SERVICE, Settings, build)
