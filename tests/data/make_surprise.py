"""Made surprise.csv: what scikit-surprise 1.1.5 says about 900 ratings after learning 800 of them.

The tests hold our models to these numbers without the package, which is no part of the environment. To make the file
again: install scikit-surprise beside the course's packages, and run this script from the root of the checkout.
"""

from pathlib import Path

import numpy as np
import pandas as pd

N_LEARNED = 800


def ratings() -> pd.DataFrame:
    rng = np.random.default_rng(6)
    pairs = rng.permutation(70 * 40)[:900]  # each pair once
    label = np.clip(np.round(3 + rng.normal(size=70)[pairs // 40] + rng.normal(size=900)), 1, 5)
    return pd.DataFrame({"user": pairs // 40, "item": pairs % 40, "label": label})


def main() -> None:
    from surprise import SVD, Dataset, Reader, SVDpp  # here, so that importing this file needs no Surprise

    table = ratings()
    trainset = Dataset.load_from_df(table.iloc[:N_LEARNED], Reader(rating_scale=(1, 5))).build_full_trainset()
    models = {
        "svd": SVD(7, n_epochs=9, lr_all=0.01, lr_bu=0.02, lr_bi=0.02, reg_all=0.05, reg_bu=0.01, random_state=0),
        "svdpp": SVDpp(5, n_epochs=6, lr_all=0.02, lr_yj=0.01, reg_all=0.05, reg_yj=0.03, random_state=0),
    }
    for name, model in models.items():
        model.fit(trainset)
        table[name] = [model.predict(u, i, clip=False).est for u, i in zip(table["user"], table["item"], strict=True)]
    table["label"] = table["label"].astype(int)
    table.to_csv(Path(__file__).with_name("surprise.csv"), index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
