"""Numerics: scores predicted from the map by ridge regression, with what is known of the errors."""
