"""What a node measures about itself; an absent sensor gives None and says which it was."""
