"""The KFP plugin of unified_mlops: Kubeflow pipeline definitions, run on this machine."""
