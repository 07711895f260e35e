"""Artifacts on Google Cloud Storage, by its XML interface, which is like S3's."""

import asyncio
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol, cast
from urllib.parse import quote, urlencode, urlsplit
from xml.sax.saxutils import escape

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from obstore.exceptions import BaseError
from obstore.store import GCSStore

from riverrun.artifacts.bucket import (
    CONNECT_S_MAX,
    PATIENCE,
    Bucket,
    BucketExists,
    BucketForbidden,
    BucketMissing,
    PartsWrong,
    Patience,
    StoreFailing,
    UploadMissing,
    client_options,
    is_installed,
    refusal,
    retry_config,
)
from riverrun.artifacts.contract import (
    ArtifactStore,
    MultipartUpload,
    MultipartUploads,
    PresignedUrl,
    PresignedUrls,
    UploadedPart,
)
from riverrun.artifacts.google_credentials import GoogleCredentials
from riverrun.artifacts.objects import PRESIGNED_S_MAX, ObjectStore, SignedUrls, content_type
from riverrun.artifacts.parts import PART_URL_S, checked_parts
from riverrun.artifacts.paths import safe_file_path
from riverrun.artifacts.resolve import Location, parse_location
from riverrun.errors import (
    InvalidParameterValue,
    InvalidState,
    NotImplementedHere,
    TrackingError,
)
from riverrun.obs.logs import Log

if TYPE_CHECKING:
    from obstore.store import GCSConfig, GCSCredentialProvider

RIGHTS = "the role Storage Object User, and Storage Admin if they are to create it"
BASE_URL = "https://storage.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/devstorage.full_control"
TRIED_AGAIN = (429, 500, 502, 503, 504)

SDK = "google.auth.transport.requests"


log = Log("riverrun.artifacts")


class Answer(Protocol):
    @property
    def status_code(self) -> int: ...
    @property
    def text(self) -> str: ...


class Session(Protocol):
    """What is used of a session that adds the credentials to each request."""

    def request(self, method: str, url: str, **given: object) -> Answer: ...
    def mount(self, prefix: str, adapter: object) -> None: ...


def open_gcs(
    uri: str,
    credentials: GoogleCredentials,
    environ: Mapping[str, str],
    *,
    patience: Patience = PATIENCE,
) -> ObjectStore:
    """The store of `gs://bucket/folder`; asks nobody yet.

    STORAGE_EMULATOR_HOST is where an emulator is, as for Google's own libraries. Raises
    InvalidParameterValue and InvalidState, in one sentence for an operator, for settings that
    cannot be meant.
    """
    location = parse_location(uri)
    if location.scheme != "gs" or not location.host or location.query:
        raise InvalidParameterValue(f"Invalid artifact store '{uri}': expected gs://bucket/folder")
    emulator = environ.get("STORAGE_EMULATOR_HOST", "").rstrip("/")
    if emulator and "://" not in emulator:
        emulator = f"http://{emulator}"
    try:
        backend = GCSStore(
            location.host,
            config=config_of(credentials, emulator),
            client_options=client_options(patience, allow_http=emulator.startswith("http://")),
            retry_config=retry_config(patience),
            credential_provider=None if emulator else credential_provider(credentials),
        )
    except (BaseError, ValueError) as error:
        raise InvalidState(
            f"Invalid Google credentials: {credentials.told} cannot be used, expected a key file "
            "as Google hands it out"
        ) from error
    return GcsObjects(backend, location, credentials, emulator, patience=patience)


class GcsObjects(ObjectStore):
    def __init__(
        self,
        backend: GCSStore,
        location: Location,
        credentials: GoogleCredentials,
        emulator: str,
        *,
        patience: Patience,
    ) -> None:
        bucket = Bucket(f"bucket '{location.host}'", RIGHTS, credentials.told)
        super().__init__(backend, bucket, location.path)
        self._name = location.host
        self._credentials = credentials
        self._emulator = emulator
        self._patience = patience
        self._base = emulator or BASE_URL
        # Others would have to ask Google for each signature, which needs rights of its own.
        is_account = credentials.kind == "service_account"
        self._signer = Signer(credentials.info) if is_account else None
        self._session: Session | None = None

    async def _create_bucket(self) -> None:
        project = self._credentials.project
        if not is_installed(SDK) or not project:
            raise InvalidState(
                f"The artifact store has no {self.bucket.title}: create it, or set GCP_PROJECT "
                "and install riverrun[gcs], with which the server does."
            )
        try:
            await self.ask("PUT", None, headers={"x-goog-project-id": project})
        except BucketExists:
            return  # Another replica was faster.
        except BucketForbidden as error:
            raise InvalidState(error.message) from error
        log.info("bucket created", bucket=self._name, project=project)

    def presigned_urls(self) -> PresignedUrls:
        return ArtifactStore.presigned_urls(self) if self._signer is None else SignedUrls(self)

    def multipart_uploads(self) -> MultipartUploads:
        if self._signer is None or not is_installed(SDK):
            return super().multipart_uploads()
        return GcsUploads(self)

    async def sign(self, method: str, path: str, expires_s: int) -> str:
        return await asyncio.to_thread(self.url, method, path, expires_s)

    def url(self, method: str, path: str, expires_s: int, **query: str) -> str:
        """The library signs URLs, too, but makes `a b` of a name `a%20b`."""
        if self._signer is None:
            raise NotImplementedHere("These Google credentials cannot sign URLs")
        url = f"{self._base}/{self._name}/{quote(self._key(path), safe='/~')}"
        return self._signer.signed(method, url, query, expires_s=expires_s)

    async def ask(
        self,
        method: str,
        path: str | None,
        *,
        query: str = "",
        body: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """One request of the XML interface, for an object or, without a path, the bucket."""
        key = "" if path is None else f"/{quote(self._key(path))}"
        url = f"{self._base}/{self._name}{key}{query}"
        return await asyncio.to_thread(self._ask, method, url, body, headers or {})

    def _ask(self, method: str, url: str, body: str, headers: Mapping[str, str]) -> str:
        from google.auth.exceptions import (  # noqa: PLC0415 - An extra, and slow to load.
            GoogleAuthError,
        )

        try:
            self._session = self._session or session_of(
                self._credentials, self._emulator, self._patience
            )
            answer = self._session.request(
                method,
                url,
                data=body.encode(),
                headers=dict(headers),
                timeout=(CONNECT_S_MAX, self._patience.silence_s),
            )
        except GoogleAuthError as error:
            log.warning("artifact store failed", reason=type(error).__name__)
            raise BucketForbidden(self.bucket) from error
        except OSError as error:  # All errors of `requests` are.
            log.warning("artifact store failed", reason=type(error).__name__)
            raise StoreFailing(0) from error
        if answer.status_code >= 300:
            raise self._in_words(answer)
        return answer.text

    def _in_words(self, answer: Answer) -> TrackingError:
        found = re.search(r"<Code>(\w+)</Code>", answer.text)
        code = found[1] if found else ""
        if code in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
            return BucketExists()
        if code == "NoSuchBucket":
            return BucketMissing(self.bucket)
        if code == "NoSuchUpload":
            return UploadMissing()
        if code in {"InvalidPart", "InvalidPartOrder", "EntityTooSmall"}:
            return PartsWrong(code)
        status = answer.status_code
        log.warning("artifact store failed", bucket=self.bucket.title, reason=code, status=status)
        return refusal(status, self.bucket)


class Signer:
    """Makes URLs that let their bearer do one thing for a while, with the key of an account.

    By Google's "V4 signing process with your own program". Raises InvalidState for a bad key.
    """

    def __init__(self, info: Mapping[str, object]) -> None:
        self._email = str(info["client_email"])
        try:
            key = load_pem_private_key(str(info["private_key"]).encode(), password=None)
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, RSAPrivateKey):
            raise InvalidState("Invalid Google credentials: private_key is no RSA key")
        self._key = key

    def signed(
        self,
        method: str,
        url: str,
        query: Mapping[str, str],
        *,
        expires_s: int,
        at: datetime | None = None,
    ) -> str:
        """The URL, with the query and a signature of both."""
        parts = urlsplit(url)
        time = f"{at or datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        scope = f"{time[:8]}/auto/storage/goog4_request"
        fields = {
            **query,
            "X-Goog-Algorithm": "GOOG4-RSA-SHA256",
            "X-Goog-Credential": f"{self._email}/{scope}",
            "X-Goog-Date": time,
            "X-Goog-Expires": str(min(expires_s, PRESIGNED_S_MAX)),
            "X-Goog-SignedHeaders": "host",
        }
        encoded = urlencode(sorted(fields.items()), quote_via=quote, safe="~")
        host = f"host:{parts.netloc}\n"
        request = f"{method}\n{parts.path}\n{encoded}\n{host}\nhost\nUNSIGNED-PAYLOAD"
        text = f"GOOG4-RSA-SHA256\n{time}\n{scope}\n{sha256(request.encode()).hexdigest()}"
        signature = self._key.sign(text.encode(), PKCS1v15(), SHA256())
        return f"{url}?{encoded}&X-Goog-Signature={signature.hex()}"


class GcsUploads(MultipartUploads):
    def __init__(self, store: GcsObjects) -> None:
        self._store = store

    async def create(self, path: str, *, parts: int) -> MultipartUpload:
        path = safe_file_path(path)
        checked_parts(parts)
        headers = {"Content-Type": content_type(path)}
        answer = await self._store.ask("POST", path, query="?uploads", headers=headers)
        found = re.search(r"<UploadId>([^<]+)</UploadId>", answer)
        if found is None:
            raise StoreFailing(200)
        upload_id = found[1]
        urls = await asyncio.to_thread(
            lambda: [
                self._store.url("PUT", path, PART_URL_S, partNumber=str(n), uploadId=upload_id)
                for n in range(1, parts + 1)
            ]
        )
        return MultipartUpload(upload_id, tuple(PresignedUrl(each, {}) for each in urls))

    async def complete(self, path: str, upload_id: str, *, parts: Sequence[UploadedPart]) -> None:
        path = safe_file_path(path)
        listed = "".join(
            f"<Part><PartNumber>{part.part_number}</PartNumber><ETag>{escape(part.etag)}</ETag>"
            "</Part>"
            for part in parts
        )
        await self._store.ask(
            "POST",
            path,
            query=f"?uploadId={quote(upload_id, safe='')}",
            body=f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>",
            headers={"Content-Type": "application/xml"},
        )

    async def abort(self, path: str, upload_id: str) -> None:
        path = safe_file_path(path)
        query = f"?uploadId={quote(upload_id, safe='')}"
        try:
            await self._store.ask("DELETE", path, query=query)
        except UploadMissing:
            return


def config_of(credentials: GoogleCredentials, emulator: str) -> "GCSConfig":
    config: GCSConfig = {}
    if emulator:  # Emulators look at no token, and there is nobody to ask for one.
        config |= {"base_url": emulator, "bearer_token": "emulator"}
    if credentials.kind == "service_account":
        info = {"private_key_id": "", **credentials.info}  # The library asks for it.
        config["service_account_key"] = json.dumps(info)
    elif credentials.kind == "authorized_user" and credentials.path and not emulator:
        config["application_credentials"] = str(credentials.path)
    return config


def credential_provider(credentials: GoogleCredentials) -> "GCSCredentialProvider | None":
    """None where the library needs no help: a service account, a login, the machine's account."""
    if credentials.kind in {"service_account", "authorized_user", "metadata_server"}:
        return None
    try:
        from obstore.auth.google import (  # noqa: PLC0415 - An extra, and slow to load.
            GoogleCredentialProvider,
        )
    except ImportError:
        raise InvalidState(
            f"Google credentials of the type {credentials.kind}: to use them, install riverrun[gcs]"
        ) from None
    make = cast("Callable[[object], GCSCredentialProvider]", GoogleCredentialProvider)
    return make(google_login(credentials))


def google_login(credentials: GoogleCredentials) -> object:
    """The credentials as Google's own library has them."""
    from google import auth  # noqa: PLC0415 - An extra, and slow to load.
    from google.auth import compute_engine  # noqa: PLC0415 - As above.
    from google.oauth2 import service_account  # noqa: PLC0415 - As above.

    if credentials.kind == "metadata_server":
        return cast("Callable[[], object]", compute_engine.Credentials)()
    if credentials.kind == "service_account":
        account = cast(
            "Callable[..., object]", service_account.Credentials.from_service_account_info
        )
        return account(credentials.info, scopes=[SCOPE])
    load = cast("Callable[..., tuple[object, str | None]]", auth.load_credentials_from_dict)
    return load(dict(credentials.info), scopes=[SCOPE])[0]


def session_of(credentials: GoogleCredentials, emulator: str, patience: Patience) -> Session:
    from google.auth.credentials import (  # noqa: PLC0415 - An extra, and slow to load.
        AnonymousCredentials,
    )
    from google.auth.transport.requests import AuthorizedSession  # noqa: PLC0415 - As above.
    from requests.adapters import HTTPAdapter  # noqa: PLC0415 - As above.
    from urllib3.util.retry import Retry  # noqa: PLC0415 - As above.

    anonymous = cast("Callable[[], object]", AnonymousCredentials)
    make = cast("Callable[[object], Session]", AuthorizedSession)
    session = make(anonymous() if emulator else google_login(credentials))
    retries = Retry(
        patience.retries,
        allowed_methods=None,
        status_forcelist=TRIED_AGAIN,
        backoff_factor=0.5,
        backoff_max=2,
        raise_on_status=False,
        respect_retry_after_header=False,  # Which may name an hour.
    )
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retries))
    return session
