"""The visitors of the shop front: who they are, what they may see, and what they did."""
