"""A facade of Gorse 0.5's REST API: a shop that used Gorse changes one address."""
