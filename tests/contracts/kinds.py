"""Which contract the registered models keep; those not named here are encoder-decoders."""

DECODERS = {"gpt"}
ENCODERS = {"bert"}
