"""Tests of features.splitting."""
