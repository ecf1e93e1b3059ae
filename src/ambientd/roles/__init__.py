"""What a node does about what it sees; each role stands alone and only emits effects."""
