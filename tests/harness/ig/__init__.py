"""A stand-in for IG's REST interface: an account that keeps books, and IG's odd ways as switches."""
