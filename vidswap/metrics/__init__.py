"""Measures of identity, pose, expression and steadiness."""
