"""How good a result is: plain functions on arrays and small sums that stream. Knows no video and no model."""
