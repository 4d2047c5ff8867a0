"""`recsys demo`: from an empty folder to served recommendations, each stage a measured process."""
