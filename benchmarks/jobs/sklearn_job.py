"""A forest and a grid search on handwritten digits, kept with pickle. `--size` is the number of forests."""

from __future__ import annotations

import argparse
import pickle
from pathlib import Path

from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV, train_test_split

parser = argparse.ArgumentParser()
parser.add_argument("--size", type=int, default=2)
size = parser.parse_args().size
X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
search = GridSearchCV(RandomForestClassifier(random_state=0), {"max_depth": [4, 8]}, cv=2)
search.fit(X_train, y_train)
model = RandomForestClassifier(n_estimators=100 * size, random_state=0).fit(X_train, y_train)
print(f"accuracy: {model.score(X_test, y_test):.4f}")
Path("model.pkl").write_bytes(pickle.dumps(model))
