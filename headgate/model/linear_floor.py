"""The floor that every classifier must beat: TF-IDF features and a linear model, fitted in seconds."""

from collections.abc import Sequence

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import Pipeline, make_union
from sklearn.svm import LinearSVC


def fit_linear_floor(texts: Sequence[str], labels: Sequence[str] | Sequence[int]) -> Pipeline:
    """A fitted scikit-learn Pipeline over word 1-2-grams and character 3-5-grams."""
    features = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True),
    )
    model = LinearSVC(random_state=0)
    return Pipeline([("features", features), ("model", model)]).fit(list(texts), list(labels))
