"""Short settings for the notebooks under pytest; values set outside win."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("ROTNET_PRETRAIN_IMAGES", "5000")
os.environ.setdefault("ROTNET_PRETRAIN_EPOCHS", "1")
os.environ.setdefault("ROTNET_LONG_EPOCHS", "2")
os.environ.setdefault("ROTNET_MAP_IMAGES", "500")
os.environ.setdefault("ROTNET_LIVE_EPOCHS", "1")
os.environ.setdefault("ROTNET_LIVE_IMAGES", "2000")
os.environ.setdefault("ROTNET_LIVE_UPDATES", "3")
os.environ.setdefault("ROTNET_SPEED_IMAGES", "1000")
os.environ.setdefault("ROTNET_SPEED_EPOCHS", "1")
os.environ.setdefault("ROTNET_FOLDER_IMAGES", "200")
os.environ.setdefault("ROTNET_FOLDER_LABELS", "100")
os.environ.setdefault("ROTNET_FOLDER_EPOCHS", "1")
os.environ.setdefault("ROTNET_FOLDER_FINE_TUNING", "2")
os.environ.setdefault("ROTNET_FOLDER_SEEDS", "2")
os.environ.setdefault("ROTNET_SYMMETRY_IMAGES", "2000")
os.environ.setdefault("ROTNET_SYMMETRY_EPOCHS", "1")
os.environ.setdefault("ROTNET_SYMMETRY_HEAD_EPOCHS", "1")
