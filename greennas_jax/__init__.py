"""From a network's text to a greener network's text, with the evidence.

The house, and the one direction its arrows run:

    spec <- costs <- spaces <- nao <- pipeline
    accuracy, build and report hang on spec and costs

`spec` reads and writes networks as text, `costs` predicts time, power and energy, `spaces`
encodes a network and its variants as tokens, `nao` learns an embedding of those tokens and
moves in it by gradient, `accuracy` trains and scores real networks, `build` makes them
executable, `report` writes the evidence, and `pipeline` joins the nine steps.
"""
