"""Formats mapped in the console for channels nobody published one for (docs/mapping.md)."""
