"""The one door for people: REST, server-sent events, the dashboard and the trace store."""
