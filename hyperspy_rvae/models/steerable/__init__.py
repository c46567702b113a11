"""Content as coefficients in which a turn is a phase, so that no pose need be guessed."""
