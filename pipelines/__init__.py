"""Stage graphs in YAML, installed as vidswap.pipelines."""
