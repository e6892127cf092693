"""The merchant site."""
