"""The version of the result files in a run's `eval/`, which the leaderboard checks before it reads them."""

# Raised when a field of `result_files.write_result` changes its name or its meaning.
RESULT_SCHEMA = 1
