"""Artifacts on S3 and what speaks like it; settings are the variables of AWS' tools and MLflow."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar, cast
from urllib.parse import parse_qsl, urlsplit

from obstore.exceptions import BaseError
from obstore.store import S3Store

from riverrun.artifacts.bucket import (
    CONNECT_S_MAX,
    PATIENCE,
    Bucket,
    BucketExists,
    BucketForbidden,
    BucketMissing,
    Extras,
    PartsWrong,
    Patience,
    StoreFailing,
    UploadMissing,
    brief,
    client_options,
    first_of,
    is_installed,
    refusal,
    retry_config,
)
from riverrun.artifacts.contract import (
    ArtifactNotFound,
    MultipartUpload,
    MultipartUploads,
    PresignedUrl,
    UploadedPart,
)
from riverrun.artifacts.objects import ObjectStore
from riverrun.artifacts.parts import PART_URL_S, checked_parts
from riverrun.artifacts.paths import safe_file_path
from riverrun.artifacts.resolve import parse_location
from riverrun.errors import InvalidParameterValue, InvalidState, TrackingError
from riverrun.obs.logs import Log

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config, S3CredentialProvider

DEFAULT_REGION = "us-east-1"
STYLES = ("auto", "path", "virtual")
RIGHTS = (
    "s3:ListBucket, s3:GetObject, s3:PutObject, s3:DeleteObject, s3:AbortMultipartUpload "
    "and, for that alone, s3:CreateBucket"
)
IDENTITY = {
    "AWS_ROLE_ARN": "role_arn",
    "AWS_ROLE_SESSION_NAME": "role_session_name",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "web_identity_token_file",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "container_credentials_relative_uri",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "container_credentials_full_uri",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "container_authorization_token_file",
    "AWS_METADATA_ENDPOINT": "metadata_endpoint",
}
"""Variables of roles, and the library's names for them."""
EXTRA_ATTRIBUTES = {
    "CacheControl": "Cache-Control",
    "ContentDisposition": "Content-Disposition",
    "ContentEncoding": "Content-Encoding",
    "ContentLanguage": "Content-Language",
    "ContentType": "Content-Type",
    "StorageClass": "Storage-Class",
}
EXTRA_SETTINGS = {
    "BucketKeyEnabled": "sse_bucket_key_enabled",
    "ChecksumAlgorithm": "checksum_algorithm",
    "RequestPayer": "request_payer",
    "SSEKMSKeyId": "sse_kms_key_id",
    "ServerSideEncryption": "server_side_encryption",
}
EXTRA_ARGS = (*EXTRA_ATTRIBUTES, *EXTRA_SETTINGS, "Metadata", "Tagging")

SDK = "boto3"

T = TypeVar("T")

log = Log("riverrun.artifacts")


@dataclass(frozen=True, slots=True)
class Access:
    """How a bucket is reached; `keys` are id, secret and session token, the last may be empty."""

    bucket: str
    region: str
    endpoint: str | None
    is_virtual: bool
    ignores_tls: bool
    ca_bundle: str | None
    keys: tuple[str, str, str] | None
    profile: str | None
    roles: Mapping[str, str]
    extra_args: Mapping[str, object]


class S3Client(Protocol):
    """The calls of boto3 that are used; their arguments are named as Amazon names them."""

    def create_bucket(self, **given: object) -> object: ...
    def create_multipart_upload(self, **given: object) -> Mapping[str, str]: ...
    def complete_multipart_upload(self, **given: object) -> object: ...
    def abort_multipart_upload(self, **given: object) -> object: ...
    def generate_presigned_url(self, call: str, **given: object) -> str: ...


def open_s3(uri: str, environ: Mapping[str, str], *, patience: Patience = PATIENCE) -> ObjectStore:
    """The store of `s3://bucket/folder`; asks nobody yet.

    Raises InvalidParameterValue, in one sentence for an operator, for settings that cannot be
    meant.
    """
    location = parse_location(uri)
    if location.scheme != "s3" or not location.host or location.query:
        raise InvalidParameterValue(f"Invalid artifact store '{uri}': expected s3://bucket/folder")
    access = access_to(location.host, environ)
    provider = credential_provider(access)
    try:
        store = S3Store(
            access.bucket,
            config=config_of(access),
            client_options=options_of(access, patience),
            retry_config=retry_config(patience),
            credential_provider=provider,
        )
    except (BaseError, ValueError) as error:
        raise InvalidParameterValue(f"Invalid settings of S3: {brief(error)}") from error
    bucket = Bucket(f"bucket '{access.bucket}'", RIGHTS, credentials_of(access))
    return S3Objects(store, bucket, location.path, access, patience=patience)


class S3Objects(ObjectStore):
    def __init__(
        self, store: S3Store, bucket: Bucket, prefix: str, access: Access, *, patience: Patience
    ) -> None:
        super().__init__(store, bucket, prefix, extras_of(access.extra_args))
        self.access = access
        self._patience = patience
        self._client: S3Client | None = None

    async def _create_bucket(self) -> None:
        if not is_installed(SDK):
            raise InvalidState(
                f"The artifact store has no {self.bucket.title}: create it, or install "
                "riverrun[s3], with which the server does."
            )
        region = self.access.region
        where: dict[str, object] = {}
        if region != DEFAULT_REGION:
            where["CreateBucketConfiguration"] = {"LocationConstraint": region}
        try:
            await self.ask(lambda s3: s3.create_bucket(Bucket=self.access.bucket, **where))
        except BucketExists:
            return  # Another replica was faster.
        except BucketForbidden as error:
            raise InvalidState(error.message) from error
        log.info("bucket created", bucket=self.access.bucket)

    def multipart_uploads(self) -> MultipartUploads:
        return S3Uploads(self) if is_installed(SDK) else super().multipart_uploads()

    def key(self, path: str) -> str:
        return self._key(path)

    async def ask(self, call: Callable[[S3Client], T]) -> T:
        """Runs a call of boto3 in a thread; its errors in our words."""
        return await asyncio.to_thread(self._ask, call)

    def _ask(self, call: Callable[[S3Client], T]) -> T:
        from botocore.exceptions import (  # noqa: PLC0415 - An extra, and slow to load.
            BotoCoreError,
            ClientError,
        )

        try:
            self._client = self._client or boto3_client(self.access, self._patience)
            return call(self._client)
        except ClientError as error:
            raise self._in_words(cast("Mapping[str, Mapping[str, str]]", error.response)) from error
        except BotoCoreError as error:
            log.warning("artifact store failed", reason=type(error).__name__)
            raise StoreFailing(0) from error

    def _in_words(self, answer: Mapping[str, Mapping[str, str]]) -> TrackingError:
        code = answer.get("Error", {}).get("Code", "")
        status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists", "OperationAborted"}:
            return BucketExists()
        if code == "NoSuchBucket":
            return BucketMissing(self.bucket)
        if code == "NoSuchUpload":
            return UploadMissing()
        if code in {"InvalidPart", "InvalidPartOrder", "EntityTooSmall", "MalformedXML"}:
            return PartsWrong(code)
        log.warning("artifact store failed", bucket=self.bucket.title, reason=code, status=status)
        return refusal(status, self.bucket)


class S3Uploads(MultipartUploads):
    def __init__(self, store: S3Objects) -> None:
        self._store = store

    async def create(self, path: str, *, parts: int) -> MultipartUpload:
        path = safe_file_path(path)
        checked_parts(parts)
        return await self._store.ask(lambda s3: self._create(s3, path, parts))

    def _create(self, s3: S3Client, path: str, parts: int) -> MultipartUpload:
        extra = self._store.access.extra_args
        # Who sends the parts knows of no checksum, which each of them would have to bring.
        given = {name: value for name, value in extra.items() if name != "ChecksumAlgorithm"}
        upload_id = s3.create_multipart_upload(**self._named(path), **given)["UploadId"]
        payer = {name: extra[name] for name in ("RequestPayer",) if name in extra}
        urls = [
            s3.generate_presigned_url(
                "upload_part",
                Params={
                    **self._named(path),
                    **payer,
                    "UploadId": upload_id,
                    "PartNumber": number,
                },
                ExpiresIn=PART_URL_S,
            )
            for number in range(1, parts + 1)
        ]
        return MultipartUpload(upload_id, tuple(PresignedUrl(url, {}) for url in urls))

    async def complete(self, path: str, upload_id: str, *, parts: Sequence[UploadedPart]) -> None:
        path = safe_file_path(path)
        found = [{"PartNumber": part.part_number, "ETag": part.etag} for part in parts]
        given = {**self._named(path), "UploadId": upload_id, "MultipartUpload": {"Parts": found}}
        await self._store.ask(lambda s3: s3.complete_multipart_upload(**given))

    async def abort(self, path: str, upload_id: str) -> None:
        path = safe_file_path(path)
        try:
            await self._store.ask(
                lambda s3: s3.abort_multipart_upload(**self._named(path), UploadId=upload_id)
            )
        except (UploadMissing, ArtifactNotFound):
            return

    def _named(self, path: str) -> dict[str, object]:
        return {"Bucket": self._store.access.bucket, "Key": self._store.key(path)}


def access_to(bucket: str, environ: Mapping[str, str]) -> Access:
    endpoint = first_of(
        environ, "MLFLOW_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"
    )
    key, secret = environ.get("AWS_ACCESS_KEY_ID"), environ.get("AWS_SECRET_ACCESS_KEY")
    keys = (key, secret, environ.get("AWS_SESSION_TOKEN", "")) if key and secret else None
    region = first_of(environ, "AWS_REGION", "AWS_DEFAULT_REGION")
    return Access(
        bucket=bucket,
        region=region or DEFAULT_REGION,
        endpoint=endpoint_url(endpoint) if endpoint else None,
        is_virtual=is_virtual(environ, bucket, has_endpoint=endpoint is not None),
        ignores_tls=environ.get("MLFLOW_S3_IGNORE_TLS", "").lower() in {"true", "1"},
        ca_bundle=first_of(environ, "AWS_CA_BUNDLE"),
        keys=keys,
        profile=None if keys else first_of(environ, "AWS_PROFILE", "AWS_DEFAULT_PROFILE"),
        roles={name: environ[name] for name in IDENTITY if environ.get(name)},
        extra_args=extra_args(environ.get("MLFLOW_S3_UPLOAD_EXTRA_ARGS", "")),
    )


def endpoint_url(given: str) -> str:
    parts = urlsplit(given)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
        raise InvalidParameterValue(
            f"Invalid S3 endpoint '{parts.scheme}://{parts.hostname or ''}…': expected "
            "http://host:port or https://host:port"
        )
    return given.rstrip("/")


def is_virtual(environ: Mapping[str, str], bucket: str, *, has_endpoint: bool) -> bool:
    """Whether the bucket is part of the host's name. By itself only at Amazon's own hosts, and
    where its name is one label, for which alone their certificates speak.
    """
    style = environ.get("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE", "") or "auto"
    if style not in STYLES:
        raise InvalidParameterValue(
            f"Invalid MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE '{style}': expected {', '.join(STYLES)}"
        )
    return style == "virtual" or (style == "auto" and not has_endpoint and "." not in bucket)


def extra_args(given: str) -> Mapping[str, object]:
    if not given:
        return {}
    try:
        found: object = json.loads(given)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InvalidParameterValue(
            "Invalid MLFLOW_S3_UPLOAD_EXTRA_ARGS: expected a JSON object such as "
            '{"ServerSideEncryption": "AES256"}'
        )
    args = cast("dict[str, object]", found)
    if unknown := sorted(set(args) - set(EXTRA_ARGS)):
        raise InvalidParameterValue(
            f"Invalid MLFLOW_S3_UPLOAD_EXTRA_ARGS: {unknown[0]} is not supported; these are: "
            f"{', '.join(sorted(EXTRA_ARGS))}"
        )
    return args


def extras_of(args: Mapping[str, object]) -> Extras:
    metadata = cast("dict[str, str]", args.get("Metadata") or {})
    named = {EXTRA_ATTRIBUTES[name]: str(args[name]) for name in EXTRA_ATTRIBUTES if name in args}
    return Extras({**metadata, **named}, dict(parse_qsl(str(args.get("Tagging") or ""))))


def config_of(access: Access) -> "S3Config":
    config: dict[str, object] = {
        "region": access.region,
        "virtual_hosted_style_request": access.is_virtual,
        **{IDENTITY[name]: value for name, value in access.roles.items()},
        **{
            EXTRA_SETTINGS[name]: value
            for name, value in access.extra_args.items()
            if name in EXTRA_SETTINGS
        },
    }
    if access.endpoint:
        scheme, _, host = access.endpoint.partition("://")
        config["endpoint"] = f"{scheme}://{access.bucket}.{host}"
        if not access.is_virtual:
            config["endpoint"] = access.endpoint
    if access.keys:
        config["access_key_id"], config["secret_access_key"], token = access.keys
        config |= {"session_token": token} if token else {}
    return cast("S3Config", config)


def options_of(access: Access, patience: Patience) -> "ClientConfig":
    is_http = (access.endpoint or "").startswith("http://")
    options = client_options(patience, allow_http=is_http, ignore_tls=access.ignores_tls)
    if access.ca_bundle:
        try:
            options["root_certificate"] = Path(access.ca_bundle).read_bytes()
        except OSError as error:
            raise InvalidParameterValue(
                f"AWS_CA_BUNDLE: '{access.ca_bundle}' cannot be read ({error.strerror})"
            ) from error
    return options


def credential_provider(access: Access) -> "S3CredentialProvider | None":
    """None where the library finds the credentials itself: keys, roles, those of the machine."""
    if access.profile is None:
        return None
    try:
        from boto3 import Session  # noqa: PLC0415 - An extra, and slow to load.
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - As above.
        from obstore.auth.boto3 import Boto3CredentialProvider  # noqa: PLC0415 - As above.
    except ImportError:
        raise InvalidParameterValue(
            f"AWS_PROFILE is '{access.profile}': to read profiles, install riverrun[s3]"
        ) from None
    try:
        return Boto3CredentialProvider(Session(profile_name=access.profile))
    except (BotoCoreError, ValueError) as error:
        raise InvalidParameterValue(
            f"AWS_PROFILE: the profile '{access.profile}' was not found, or has no credentials"
        ) from error


def credentials_of(access: Access) -> str:
    if access.keys:
        return "AWS_ACCESS_KEY_ID"
    if access.profile:
        return f"the profile {access.profile}"
    if "AWS_WEB_IDENTITY_TOKEN_FILE" in access.roles:
        return "the role of AWS_WEB_IDENTITY_TOKEN_FILE"
    if any(name.startswith("AWS_CONTAINER_CREDENTIALS") for name in access.roles):
        return "the role of the container"
    return "the role of the machine"


def boto3_client(access: Access, patience: Patience = PATIENCE) -> S3Client:
    from boto3 import Session  # noqa: PLC0415 - An extra, and slow to load.
    from botocore.config import Config  # noqa: PLC0415 - As above.

    key, secret, token = access.keys or (None, None, None)
    session = Session(
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token or None,
        profile_name=access.profile,
        region_name=access.region,
    )
    config = Config(
        signature_version="s3v4",
        connect_timeout=CONNECT_S_MAX,
        read_timeout=patience.silence_s,
        retries={"total_max_attempts": patience.retries + 1, "mode": "standard"},
        s3={"addressing_style": "virtual" if access.is_virtual else "path"},
    )
    verify = access.ca_bundle if not access.ignores_tls else False
    client = cast("object", session.client)  # Made at run time, so without types.
    make = cast("Callable[..., S3Client]", client)
    return make("s3", endpoint_url=access.endpoint, verify=verify, config=config)
