"""From files a person has to examples a model takes; knows no models."""
