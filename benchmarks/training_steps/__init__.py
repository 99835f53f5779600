"""Training steps beside one another: their settings, their peers, their floors, their memory."""
