"""The Ray plugin of unified_mlops: clusters, tuning and endpoints, served by Ray."""
