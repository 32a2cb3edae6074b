"""Record types, the JSONL store, importers and exporters."""
