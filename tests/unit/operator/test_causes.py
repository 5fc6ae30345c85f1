"""From the statuses of pods and the Events of their makers, as a cluster gave them, to what a person reads."""

from __future__ import annotations
