from riverrun.wire.message import Int32, Message, Part


class LoggedModelOrder(Part, frozen=True):
    field_name: str | None = None
    ascending: bool | None = None
    dataset_name: str | None = None
    dataset_digest: str | None = None


class LoggedModelDataset(Part, frozen=True):
    dataset_name: str | None = None
    dataset_digest: str | None = None


class SearchLoggedModels(Message, frozen=True):
    experiment_ids: list[str] | None = None
    filter: str | None = None
    datasets: list[LoggedModelDataset] | None = None
    max_results: Int32 | None = None
    order_by: list[LoggedModelOrder] | None = None
    page_token: str | None = None
