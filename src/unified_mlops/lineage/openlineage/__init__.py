"""OpenLineage out and in: events of the graph for other tools, and theirs as observations."""
