"""Our speed beside the native tools', measured in one run: `make bench`."""
