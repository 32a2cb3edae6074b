"""Reading of other tools' records: files, fields, messages, calls and tools in every shape that logs have."""
