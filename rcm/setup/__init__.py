"""The first run of an empty product: the first organization and person, then each step checked."""
