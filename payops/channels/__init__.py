"""Channels, contracts, bill files and bank statements."""
