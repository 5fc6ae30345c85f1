"""What goes over the wire: envelopes, typed payloads, subject names and canonical bytes."""
