"""The floor that every classifier must beat: TF-IDF features and a linear model, fitted in seconds."""

from collections.abc import Sequence

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import FeatureUnion, Pipeline, make_union
from sklearn.svm import LinearSVC


def floor_features() -> FeatureUnion:
    """The floor's features, not fitted: TF-IDF of word 1-2-grams and character 3-5-grams."""
    return make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True),
    )


def fit_linear_floor(texts: Sequence[str], labels: Sequence[str] | Sequence[int]) -> Pipeline:
    """A fitted scikit-learn Pipeline over word 1-2-grams and character 3-5-grams."""
    model = LinearSVC(random_state=0)
    return Pipeline([("features", floor_features()), ("model", model)]).fit(list(texts), list(labels))
