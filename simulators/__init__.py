"""Small stand-ins for outside parties, for development, tests and the demo. They import nothing of payops."""
