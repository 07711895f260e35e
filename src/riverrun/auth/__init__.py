"""Who asks, and what may they do: pure questions, given what the viewer was granted."""
