"""The MLflow plugin of unified_mlops: runs, models and the registry, kept in MLflow."""
