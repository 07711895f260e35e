"""Every maximum of the tracking API, named, with its reason. "Protocol" means that clients know the
number.
"""

KEY_LENGTH_MAX = 250
"""Characters of a metric's, param's or tag's key (protocol)."""
PARAM_VALUE_LENGTH_MAX = 6_000
"""Characters of a param's value (protocol); longer ones are cut, or refused by setting."""
TAG_VALUE_LENGTH_MAX = 8_000
"""Characters of a run tag's value (protocol); longer ones are cut, or refused by setting."""
EXPERIMENT_TAG_VALUE_LENGTH_MAX = 20_000
"""Characters of an experiment tag's value (protocol); longer ones are refused."""
EXPERIMENT_NAME_LENGTH_MAX = 500
"""Characters of an experiment's name (protocol)."""
RUN_NAME_LENGTH_MAX = TAG_VALUE_LENGTH_MAX
"""A run's name is also its tag mlflow.runName."""
USER_ID_LENGTH_MAX = 255
"""Characters of the user_id that a client sends; what the column holds."""

METRICS_PER_BATCH_MAX = 1_000
PARAMS_PER_BATCH_MAX = 100
TAGS_PER_BATCH_MAX = 100
ENTITIES_PER_BATCH_MAX = 1_000
"""The four limits of one log-batch (protocol: clients split their batches by them)."""

TAGS_PER_CREATE_MAX = 1_000
"""Tags given with a new run or experiment: honest clients send about ten."""

RUNS_PAGE_DEFAULT = 1_000
RUNS_PAGE_MAX = 50_000
EXPERIMENTS_PAGE_MAX = 50_000
"""Results in one page of a search (protocol)."""
EXPERIMENTS_PER_SEARCH_MAX = 50_000
"""Experiment ids in one runs/search: a client that searches all experiments sends them all."""

HISTORY_RUNS_MAX = 100
"""Runs in one bulk history (protocol)."""
HISTORY_BULK_POINTS_MAX = 25_000
"""Points in one bulk history, over all its runs (protocol)."""
HISTORY_PAGE_POINTS = 25_000
"""Points read at a time when a whole history is streamed; the page that clients ask for."""
HISTORY_INTERVAL_POINTS_MAX = 2_500
"""Points of one run in a sampled history (protocol)."""

DATASETS_PER_CALL_MAX = 1_000
MODELS_PER_CALL_MAX = 1_000
INPUT_TAGS_MAX = 100
"""Inputs and outputs in one call; honest clients send one or two."""
DATASET_NAME_LENGTH_MAX = 500
DATASET_DIGEST_LENGTH_MAX = 36
DATASET_SOURCE_LENGTH_MAX = 65_535
DATASET_SOURCE_TYPE_LENGTH_MAX = 36
DATASET_SCHEMA_LENGTH_MAX = 1_048_575
DATASET_PROFILE_LENGTH_MAX = 16_777_215
INPUT_TAG_KEY_LENGTH_MAX = 255
INPUT_TAG_VALUE_LENGTH_MAX = 500
"""The parts of a dataset input (protocol)."""
MODEL_ID_LENGTH_MAX = 255
DATASET_EXPERIMENTS_MAX = 20
DATASET_SUMMARIES_MAX = 1_000
"""experiments/search-datasets (protocol)."""

UPLOAD_ARTIFACT_BYTES_MAX = 10 * 1024 * 1024
"""Bytes of the web UI's upload-artifact (protocol); everything else uploads through the proxy,
unlimited.
"""
MULTIPART_UPLOAD_PARTS_MAX = 10_000
"""Parts of one file that a client sends straight to a bucket: what S3 takes."""
PRESIGNED_URL_TTL_S_MAX = 604_800
"""Seconds that a signed URL is good for: what every cloud takes at most."""
MODEL_JSON_LENGTH_MAX = 1_000_000
"""Characters of the model description that 2.x clients send with log-model."""

LOGGED_MODEL_NAME_LENGTH_MAX = 500
LOGGED_MODEL_TYPE_LENGTH_MAX = 500
LOGGED_MODEL_SOURCE_LENGTH_MAX = 32
"""The parts of a logged model: what upstream's columns hold."""
LOGGED_MODEL_VALUE_LENGTH_MAX = 100_000
"""Characters of a logged model's param or tag: upstream has no limit, and cuts none of them."""
LOGGED_MODEL_VALUES_MAX = 1_000
"""Params, or tags, of a logged model in one call; clients send a hundred at a time."""
LOGGED_MODELS_PAGE_DEFAULT = 50
LOGGED_MODELS_PAGE_MAX = 1_000
"""Logged models in one page (the default is protocol). Whoever asks for more gets a page of these
and the token of the next: upstream has no limit, so a larger number is no error.
"""
LOGGED_MODEL_DATASETS_MAX = 100
"""Datasets that limit one search of logged models."""
LOGGED_MODEL_POINTS_MAX = 1_000
LOGGED_MODEL_POINTS_IN_PAGE_MAX = 100
"""The newest points of each metric that come with one logged model, and with each of a page.
Upstream sends all; the history of a run has them.
"""

REGISTERED_MODEL_NAME_LENGTH_MAX = 256
ALIAS_LENGTH_MAX = 255
REGISTRY_TAG_VALUE_LENGTH_MAX = 100_000
"""The parts of a registered model and its versions (protocol); longer ones are refused."""
REGISTRY_TAGS_MAX = 1_000
"""Tags that come with a new model or version."""
REGISTRY_TEXT_LENGTH_MAX = 100_000
"""Characters of a description, a source or a run's link: upstream's columns hold 5000 and 500."""
REGISTRY_RUN_ID_LENGTH_MAX = 500
REGISTERED_MODELS_PAGE_DEFAULT = 100
REGISTERED_MODELS_PAGE_MAX = 1_000
"""Registered models in one page (protocol)."""
MODEL_VERSIONS_ASKED_MAX = 200_000
MODEL_VERSIONS_PAGE_MAX = 10_000
"""A client may ask for 200 000 versions (protocol), and gets a page of 10 000, which is what
clients ask for, and the token of the next.
"""
HISTORY_PAGE_DEFAULT = 100
HISTORY_PAGE_MAX = 1_000
"""Lines in one page of a registered model's history."""
MONITORING_RUNS_MAX = 1_000
"""Monitoring runs of a version in one answer, the newest."""
REGISTERED_AS_MAX = 1_000
"""Versions in a logged model's tag, the last ones: each new one writes it anew."""
LINEAGE_VERSIONS_MAX = 1_000
"""Versions that one run or logged model is shown to have been registered as, the newest."""

WORKSPACES_MAX = 10_000
"""Each server keeps them in memory, and lists them in one answer."""
WORKSPACE_DESCRIPTION_LENGTH_MAX = 5_000

WEBHOOKS_MAX = 100
"""Webhooks in a workspace: each of them may cost a row with every event."""
WEBHOOK_DESCRIPTION_LENGTH_MAX = 5_000
WEBHOOK_SECRET_LENGTH_MAX = 1_000
WEBHOOK_EVENTS_MAX = 100
"""Events in one call; there are fewer kinds."""
WEBHOOKS_PAGE_DEFAULT = 100
WEBHOOKS_PAGE_MAX = 1_000
"""Webhooks, or lines of a webhook's history, in one page (protocol)."""
WEBHOOK_TESTS_MAX = 4
"""Test calls at once: each of them waits for a receiver."""
WEBHOOK_HISTORY_MAX = 1_000
WEBHOOK_HISTORY_DAYS_MAX = 30
"""What is kept of a webhook's history; what is still to be delivered is always kept."""

TOKENS_PER_USER_MAX = 1_000
"""API tokens of one user that have not expired: a list of them needs no pages."""
TOKEN_NAME_LENGTH_MAX = 255
TOKEN_LIFE_S_MAX = 10 * 366 * 24 * 3_600
"""How long a token may live that expires at all."""
AUDIT_PAGE_DEFAULT = 100
AUDIT_PAGE_MAX = 1_000
"""Entries of the audit log in one page."""

USERNAME_LENGTH_MAX = 255
ROLE_NAME_LENGTH_MAX = 255
ROLE_DESCRIPTION_LENGTH_MAX = 5_000
GRANT_PATTERN_LENGTH_MAX = 500
"""Characters of what users, roles and grants are called; what the columns hold."""
GRANT_PATTERN_STARS_MAX = 8
"""`*` in one pattern: each makes the look for a match longer."""
