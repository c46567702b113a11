from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import check_estimator

from hyperspy_rvae.models import RVAE

# They feed rows of 1, 2, 3, 5 or 10 numbers, which are no square windows of 5 px or more.
NO_WINDOWS = {
    "check_dict_unchanged",
    "check_dont_overwrite_parameters",
    "check_dtype_object",
    "check_estimators_dtypes",
    "check_estimators_empty_data_messages",
    "check_estimators_fit_returns_self",
    "check_estimators_nan_inf",
    "check_estimators_overwrite_params",
    "check_estimators_pickle",
    "check_f_contiguous_array_estimator",
    "check_fit2d_1feature",
    "check_fit2d_1sample",
    "check_fit2d_predict1d",
    "check_fit_check_is_fitted",
    "check_fit_idempotent",
    "check_fit_score_takes_y",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
    "check_n_features_in",
    "check_n_features_in_after_fitting",
    "check_pipeline_consistency",
    "check_positive_only_tag_during_fit",
    "check_readonly_memmap_input",
    "check_transformer_data_not_an_array",
    "check_transformer_general",
    "check_transformer_preserve_dtypes",
}


def test_scikit_learns_own_checks():
    results = check_estimator(RVAE(1, epochs=1, seed=0), on_fail=None, on_skip=None)
    failed = {one["check_name"] for one in results if one["status"] == "failed"}
    assert failed <= NO_WINDOWS, failed - NO_WINDOWS
    assert sum(one["status"] == "passed" for one in results) > 10


def test_a_grid_search_prefers_training_to_none(dumbbells):
    search = GridSearchCV(RVAE(1, seed=0), {"epochs": [1, 30]}, cv=2)
    search.fit(dumbbells.images)
    assert search.best_params_ == {"epochs": 30}
    assert search.best_estimator_.transform(dumbbells.images).shape == (300, 4)
    with pytest.raises(ValueError, match="Invalid parameter 'latents'"):
        GridSearchCV(RVAE(1), {"latents": [1]}, error_score="raise").fit(np.zeros((20, 25)))
