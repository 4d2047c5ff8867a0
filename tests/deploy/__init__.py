"""Tests of the files in deploy/, as far as no container is needed."""
