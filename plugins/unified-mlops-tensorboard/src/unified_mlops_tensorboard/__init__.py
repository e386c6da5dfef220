"""The TensorBoard plugin of unified_mlops: metrics written as TensorBoard event files too."""
