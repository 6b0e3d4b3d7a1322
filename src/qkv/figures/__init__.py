"""Pictures for people: galleries, grids, tables of confusion. Knows no model."""
