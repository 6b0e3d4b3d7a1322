"""How good predictions are: pure functions of arrays. Translation is scored by sacreBLEU, in the rooms that need it."""
