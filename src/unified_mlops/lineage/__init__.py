"""The lineage graph: declared beside the hooks, collected from the tools, asked by the user."""
