"""Tests of serving.mail_blocks."""
