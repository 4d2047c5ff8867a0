"""How good a model is: sees ranked lists and test lists, never how a model was fitted."""
