"""Artifacts on Azure's blob storage; settings are the variables of Microsoft's tools and MLflow."""

import asyncio
import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import quote, urlencode, urlsplit
from uuid import uuid4

from obstore.store import AzureStore

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
    first_of,
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
from riverrun.artifacts.objects import PRESIGNED_S_MAX, ObjectStore, SignedUrls
from riverrun.artifacts.parts import PART_URL_S, checked_parts
from riverrun.artifacts.paths import safe_file_path
from riverrun.artifacts.resolve import Location, parse_location
from riverrun.errors import InvalidParameterValue, InvalidState, TrackingError
from riverrun.obs.logs import Log

if TYPE_CHECKING:
    from obstore.store import AzureConfig

SCHEMES = frozenset({"wasb", "wasbs", "abfs", "abfss", "az"})
RIGHTS = "those of a Storage Blob Data Contributor"
PERMISSIONS = {"GET": "r", "PUT": "cw"}
UPLOAD_HEADERS = {"x-ms-blob-type": "BlockBlob"}
PUBLIC_HOST = "blob.core.windows.net"
EMULATOR = {
    "AccountName": "devstoreaccount1",
    # Every Azurite has it, and Microsoft's documentation.
    "AccountKey": "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KB"
    "HBeksoGMGw==",
    "BlobEndpoint": "http://127.0.0.1:10000/devstoreaccount1",
}
IDENTITY = {
    "AZURE_CLIENT_ID": "client_id",
    "AZURE_CLIENT_SECRET": "client_secret",
    "AZURE_TENANT_ID": "tenant_id",
    "AZURE_AUTHORITY_HOST": "authority_host",
    "AZURE_FEDERATED_TOKEN_FILE": "federated_token_file",
}
"""Variables of identities, and the library's names for them."""

UPLOAD_ID = re.compile(r"[0-9a-f]{32}")

SDK = "azure.storage.blob"

T = TypeVar("T")

log = Log("riverrun.artifacts")


@dataclass(frozen=True, slots=True)
class Access:
    """How a container is reached: by `key`, by `sas` (a shared access signature), or else by an
    identity. `endpoint` ends with the account where that is no part of the host.
    """

    container: str
    account: str
    endpoint: str
    key: str | None
    sas: str | None
    identity: Mapping[str, str]

    @property
    def credentials(self) -> str:
        """Which ones they are, for the log."""
        if self.key:
            return f"the key of the account {self.account}"
        if self.sas:
            return "a shared access signature"
        if "client_secret" in self.identity:
            return "AZURE_CLIENT_ID and AZURE_CLIENT_SECRET"
        if "federated_token_file" in self.identity:
            return "the workload's identity"
        return "the machine's managed identity"


def open_azure(
    uri: str, environ: Mapping[str, str], *, patience: Patience = PATIENCE
) -> ObjectStore:
    """The store of `wasbs://container@account.blob.core.windows.net/folder`, of `abfss://` likewise
    with `dfs`, or of `az://container/folder`; asks nobody yet.

    Raises InvalidParameterValue, in one sentence for an operator, for settings that cannot be
    meant.
    """
    location = parse_location(uri)
    container, _, host = location.host.rpartition("@")
    if location.scheme == "az":
        container, host = location.host, ""
    if location.scheme not in SCHEMES or not container or location.query:
        raise InvalidParameterValue(
            f"Invalid artifact store '{uri}': expected "
            f"wasbs://container@account.{PUBLIC_HOST}/folder or az://container/folder"
        )
    access = access_to(container, host, environ)
    backend = AzureStore(
        container,
        config=config_of(access),
        client_options=client_options(patience, allow_http=access.endpoint.startswith("http://")),
        retry_config=retry_config(patience),
    )
    title = f"container '{container}' of the account '{access.account}'"
    bucket = Bucket(title, RIGHTS, access.credentials)
    return AzureObjects(backend, bucket, location, access, patience=patience)


class AzureObjects(ObjectStore):
    def __init__(
        self,
        backend: AzureStore,
        bucket: Bucket,
        location: Location,
        access: Access,
        *,
        patience: Patience,
    ) -> None:
        super().__init__(backend, bucket, location.path)
        self.access = access
        self.patience = patience

    async def _create_bucket(self) -> None:
        access = self.access
        if not is_installed(SDK) or not (access.key or access.sas):
            raise InvalidState(
                f"The artifact store has no {self.bucket.title}: create it, or give the server "
                "the account's key and install riverrun[azure], with which the server does."
            )
        try:
            await self.ask(lambda: create_container(access, self.patience))
        except BucketExists:
            return  # Another replica was faster.
        except BucketForbidden as error:
            raise InvalidState(error.message) from error
        log.info("container created", container=access.container, account=access.account)

    def presigned_urls(self) -> PresignedUrls:
        if self.access.key is None:  # An identity would have to ask Azure for a key first.
            return ArtifactStore.presigned_urls(self)
        return SignedUrls(self, UPLOAD_HEADERS)

    def multipart_uploads(self) -> MultipartUploads:
        if self.access.key is None or not is_installed(SDK):
            return super().multipart_uploads()
        return AzureUploads(self)

    async def sign(self, method: str, path: str, expires_s: int) -> str:
        """The library signs URLs, too, but Azure refuses those of names that must be encoded."""
        return signed_url(self.access, self._key(path), PERMISSIONS[method], expires_s)

    async def ask(self, call: Callable[[], T]) -> T:
        """Runs a call of Microsoft's library in a thread; its errors in our words."""
        return await asyncio.to_thread(self._ask, call)

    def _ask(self, call: Callable[[], T]) -> T:
        from azure.core.exceptions import (  # noqa: PLC0415 - An extra, and slow to load.
            AzureError,
            HttpResponseError,
        )

        try:
            return call()
        except HttpResponseError as error:
            code = str(getattr(error, "error_code", None) or "")
            raise self._in_words(code, error.status_code or 0) from error
        except AzureError as error:
            log.warning("artifact store failed", reason=type(error).__name__)
            raise StoreFailing(0) from error

    def _in_words(self, code: str, status: int) -> TrackingError:
        if code == "ContainerAlreadyExists":
            return BucketExists()
        if code == "ContainerNotFound":
            return BucketMissing(self.bucket)
        if code in {"InvalidBlockList", "InvalidBlockId"}:
            return PartsWrong(code)
        log.warning("artifact store failed", bucket=self.bucket.title, reason=code, status=status)
        return refusal(status, self.bucket)


class AzureUploads(MultipartUploads):
    """Parts are blocks of the blob that is to be, which Azure forgets after a week.

    It knows no uploads: the id that we give is a part of each block's, so that uploads of one blob
    at the same time do not meet.
    """

    def __init__(self, store: AzureObjects) -> None:
        self._store = store

    async def create(self, path: str, *, parts: int) -> MultipartUpload:
        path = safe_file_path(path)
        checked_parts(parts)
        upload_id = uuid4().hex
        url = await self._store.sign("PUT", path, PART_URL_S)
        # The signature is for any write to the blob; what is written the rest of the query says.
        urls = [
            f"{url}&comp=block&blockid={b64encode(block_id(upload_id, number).encode()).decode()}"
            for number in range(1, parts + 1)
        ]
        return MultipartUpload(upload_id, tuple(PresignedUrl(each, {}) for each in urls))

    async def complete(self, path: str, upload_id: str, *, parts: Sequence[UploadedPart]) -> None:
        path = safe_file_path(path)
        if not UPLOAD_ID.fullmatch(upload_id):
            raise UploadMissing
        url = await self._store.sign("PUT", path, PART_URL_S)
        blocks = [block_id(upload_id, part.part_number) for part in parts]
        await self._store.ask(lambda: commit(url, blocks, self._store.patience))

    async def abort(self, path: str, upload_id: str) -> None:
        safe_file_path(path)
        del upload_id


def block_id(upload_id: str, number: int) -> str:
    """All of one blob must be equally long; in base64 these are letters and digits alone."""
    return f"{upload_id}-{number:06}"


def signed_url(access: Access, blob: str, permissions: str, expires_s: int) -> str:
    """By Microsoft's "Create a service SAS", version 2020-12-06."""
    expiry = datetime.now(UTC) + timedelta(seconds=min(expires_s, PRESIGNED_S_MAX))
    fields = {
        "sp": permissions,
        "st": "",
        "se": f"{expiry:%Y-%m-%dT%H:%M:%SZ}",
        "resource": f"/blob/{access.account}/{access.container}/{blob}",
        "si": "",
        "sip": "",
        "spr": "",
        "sv": "2020-12-06",
        "sr": "b",
    }
    # A snapshot, a scope of encryption, and five headers of the answer follow, all empty.
    text = "\n".join(fields.values()) + "\n" * 7
    digest = hmac.digest(b64decode(access.key or ""), text.encode(), "sha256")
    query = {name: value for name, value in fields.items() if value and name != "resource"}
    encoded = urlencode({**query, "sig": b64encode(digest).decode()}, quote_via=quote, safe="")
    return f"{access.endpoint}/{access.container}/{quote(blob, safe='/~')}?{encoded}"


def commit(url: str, blocks: "list[str]", patience: Patience) -> None:
    from azure.storage.blob import (  # noqa: PLC0415 - An extra, and slow to load.
        BlobBlock,
        BlobClient,
    )

    with BlobClient.from_blob_url(url, **bounds_of(patience)) as blob:
        blob.commit_block_list([BlobBlock(each) for each in blocks])


def create_container(access: Access, patience: Patience = PATIENCE) -> None:
    from azure.core.credentials import (  # noqa: PLC0415 - An extra, and slow to load.
        AzureNamedKeyCredential,
        AzureSasCredential,
    )
    from azure.storage.blob import ContainerClient  # noqa: PLC0415 - As above.

    credential: AzureNamedKeyCredential | AzureSasCredential
    if access.key:
        credential = AzureNamedKeyCredential(access.account, access.key)
    else:
        credential = AzureSasCredential(access.sas or "")
    bounds = bounds_of(patience)
    with ContainerClient(access.endpoint, access.container, credential, **bounds) as client:
        client.create_container()


def bounds_of(patience: Patience) -> "dict[str, Any]":
    """The patience as Microsoft's clients take it; by themselves they wait for minutes."""
    from azure.storage.blob import LinearRetry  # noqa: PLC0415 - An extra, and slow to load.

    return {
        "connection_timeout": CONNECT_S_MAX,
        "read_timeout": patience.silence_s,
        "retry_policy": LinearRetry(1, retry_total=patience.retries, random_jitter_range=1),
    }


def access_to(container: str, host: str, environ: Mapping[str, str]) -> Access:
    given = connection(environ.get("AZURE_STORAGE_CONNECTION_STRING", ""))
    named, _, suffix = host.partition(".")
    account = (
        given.get("AccountName")
        or named
        or (urlsplit(given.get("BlobEndpoint", "")).hostname or "").partition(".")[0]
        or first_of(environ, "AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT")
    )
    if not account or (named and named != account):
        raise InvalidParameterValue(
            f"Invalid Azure storage account '{named}': expected the one of "
            "AZURE_STORAGE_CONNECTION_STRING, or one in AZURE_STORAGE_ACCOUNT_NAME"
        )
    default = f"https://{account}.{(suffix or PUBLIC_HOST).replace('dfs.', 'blob.', 1)}"
    if suffix_given := given.get("EndpointSuffix"):
        scheme = given.get("DefaultEndpointsProtocol", "https")
        default = f"{scheme}://{account}.blob.{suffix_given}"
    key = given.get("AccountKey") or first_of(
        environ, "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_KEY"
    )
    sas = given.get("SharedAccessSignature") or first_of(environ, "AZURE_STORAGE_SAS_TOKEN")
    check_key(key or "")
    return Access(
        container=container,
        account=account,
        endpoint=(given.get("BlobEndpoint") or default).rstrip("/"),
        key=key,
        sas=None if key or not sas else sas.removeprefix("?"),
        identity={name: environ[each] for each, name in IDENTITY.items() if environ.get(each)},
    )


def check_key(key: str) -> None:
    try:
        b64decode(key, validate=True)
    except ValueError:
        raise InvalidParameterValue(
            "Invalid key of the Azure storage account: expected base64, as Azure's portal shows it"
        ) from None


def connection(given: str) -> Mapping[str, str]:
    """The parts of a connection string, as Azure's portal shows it."""
    if not given:
        return {}
    pairs = [part.partition("=") for part in given.strip().strip(";").split(";")]
    found = {name.strip(): value.strip() for name, _, value in pairs}
    if found.get("UseDevelopmentStorage", "").lower() == "true":
        return EMULATOR
    if "AccountName" not in found and "BlobEndpoint" not in found:
        raise InvalidParameterValue(
            "Invalid AZURE_STORAGE_CONNECTION_STRING: expected parts such as AccountName=... and "
            "AccountKey=..., with `;` between them"
        )
    return found


def config_of(access: Access) -> "AzureConfig":
    config: dict[str, object] = {
        "account_name": access.account,
        "endpoint": access.endpoint,
    }
    if access.key:
        config |= {"account_key": access.key, "credential_type": "access_key"}
    elif access.sas:
        config |= {"sas_key": access.sas, "credential_type": "sas_token"}
    else:
        config |= access.identity
    return cast("AzureConfig", config)
