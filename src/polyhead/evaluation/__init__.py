"""How good a trained run is: reports with honest, comparable units."""
