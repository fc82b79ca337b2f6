"""validation: the authority on which events and labels count."""
