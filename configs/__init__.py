"""Run profiles in YAML, installed as vidswap.configs."""
