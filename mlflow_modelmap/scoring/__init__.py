"""Scoring: torch, transformers and safetensors; never mlflow."""
