"""`python -m rotnet_keras`: the same as the console script `rotnet-keras`."""

from rotnet_keras.cli.main import run

if __name__ == "__main__":
    run()
