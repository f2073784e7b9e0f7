"""Records in SQL, artifacts in files, experiments in MLflow."""
