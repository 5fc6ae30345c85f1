"""A demo account at IG Markets over its REST interface."""
