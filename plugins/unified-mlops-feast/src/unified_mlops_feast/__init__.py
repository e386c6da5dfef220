"""The Feast plugin of unified_mlops: feature views and their values, kept in Feast."""
