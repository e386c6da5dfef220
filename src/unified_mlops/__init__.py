"""A Vertex-like facade over open-source MLOps tools, with one lineage graph."""
