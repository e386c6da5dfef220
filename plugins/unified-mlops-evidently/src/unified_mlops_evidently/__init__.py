"""The Evidently plugin of unified_mlops: drift monitoring, kept in an Evidently workspace."""
